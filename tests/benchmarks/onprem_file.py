"""Run as a program beside an empty database: one on-prem server and its synchronization files.

`register STATE` registers the server and notes what it was given; `write STATE FILE INSTANCES` writes the file of so
many instances with three uses each; `upload STATE FILE` takes it in; `work STATE` applies what waits, as the worker
does, and prints as JSON the seconds and the process's peak memory.
"""

import json
import resource
import sys
import time
from collections.abc import Iterator
from datetime import UTC
from pathlib import Path
from typing import Any

import django

django.setup()

import yaml  # noqa: E402  settings come first

from accounts.models import VirtualAccount  # noqa: E402  settings come first
from cssm.common.actor import SYSTEM  # noqa: E402  settings come first
from cssm.common.clock import read_clock  # noqa: E402  settings come first
from sync.models import Exchange, OnPremServer  # noqa: E402  settings come first
from sync.services.imports import synchronize  # noqa: E402  settings come first
from sync.services.queue import work_exchanges  # noqa: E402  settings come first
from sync.services.receiving import receive_upload  # noqa: E402  settings come first
from sync.services.registration import register_server  # noqa: E402  settings come first
from sync.services.storage import Side, StoredFile  # noqa: E402  settings come first
from sync.states import ExchangeState  # noqa: E402  settings come first
from tests.benchmarks.device_load import MANY_TAGS  # noqa: E402  settings come first
from tests.sync.files import Server, account, instance, sign  # noqa: E402  settings come first

PIECE = 1 << 20


def register(state: Path) -> None:
    server = Server()
    where = VirtualAccount.objects.get(name="Data Center", smart_account__domain="acme.example")
    with receive_upload([server.registration()]) as upload:
        exchange = register_server(actor=SYSTEM, virtual_account=where, upload=upload, now=read_clock())
    _note(state, server, exchange)


def write(state: Path, file: Path, instances: int) -> None:
    server = _recall(state)
    uses = dict.fromkeys(MANY_TAGS[:3], 1)
    rows = (instance(number, uses=uses, **_details(number)) for number in range(1, instances + 1))
    now = read_clock().astimezone(UTC)
    content = server.synchronization_content(
        account(1, "Data Center", *rows), generated=f"{now:%Y-%m-%dT%H:%M:%S}.{now.microsecond // 1000:03}Z"
    )
    file.write_bytes(sign(content, server.key, server.id_cert))


def _details(number: int) -> dict[str, str]:
    """What a server tells of a product beside what it must."""
    return {
        "hostname": f"access-switch-{number:06}.floor-{number % 40:02}.plant-7.acme.example",
        "ip_address": f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}",
        "mac_address": f"00:1b:54:{number >> 16 & 255:02x}:{number >> 8 & 255:02x}:{number & 255:02x}",
        "host_identifier": f"plant-7/rack-{number // 40:05}/slot-{number % 40:02}",
        "registered_at": "2026-03-02T09:30:00.000Z",
    }


def upload(state: Path, file: Path) -> None:
    server = OnPremServer.objects.get(uuid=_recall(state).uuid)
    with receive_upload(_pieces(file)) as taken:
        synchronize(actor=SYSTEM, server=server, upload=taken, in_background=True, now=read_clock())


def work(state: Path) -> None:
    begun = time.perf_counter()
    assert work_exchanges(now=read_clock()) == 1
    seconds = time.perf_counter() - begun
    exchange = Exchange.objects.order_by("pk").last()
    assert exchange is not None
    assert exchange.state == ExchangeState.APPLIED, exchange.errors
    _note(state, _recall(state), exchange)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    sys.stdout.write(json.dumps({"seconds": seconds, "peak": peak}))


def _pieces(file: Path) -> Iterator[bytes]:
    with file.open("rb") as source:
        while piece := source.read(PIECE):
            yield piece


def _note(state: Path, server: Server, exchange: Exchange) -> None:
    content, _ = yaml.load_all(b"".join(StoredFile(exchange, Side.RESPONSE)), Loader=yaml.CBaseLoader)
    server.install(content)
    kept: dict[str, Any] = {name: getattr(server, name) for name in ("id_cert", "signing_cert", "last_sync")}
    state.write_text(json.dumps(kept))


def _recall(state: Path) -> Server:
    return Server(**json.loads(state.read_text()))


if __name__ == "__main__":
    what, *arguments = sys.argv[1:]
    paths: list[Any] = [Path(each) for each in arguments[:2]]
    programs: dict[str, Any] = {"register": register, "write": write, "upload": upload, "work": work}
    programs[what](*paths, *(int(each) for each in arguments[2:]))
