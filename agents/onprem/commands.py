"""The commands, each with its options and what it calls."""

import argparse
import json
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from agents.common.errors import UsageError
from agents.onprem.accounts import create_account, rename_account
from agents.onprem.enrolment import replace_trust, request_https, request_registration
from agents.onprem.errors import NotReady
from agents.onprem.http_service import Https, LicenseServer, Service
from agents.onprem.network import HttpPortal, Network, check_url
from agents.onprem.privacy import set_privacy
from agents.onprem.schedule import SPANS, due_at, run_due, set_schedule
from agents.onprem.server import Site, load_server
from agents.onprem.status import describe, list_instances
from agents.onprem.synchronization import install_authorization, install_sync, request_sync
from agents.onprem.tokens import create_token, revoke_token

Outcome = dict[str, Any] | None
"""What is printed; None where the command has printed by itself."""

LOOK_SECONDS: Final = 30.0


@dataclass(frozen=True, slots=True)
class Command:
    name: str
    text: str
    run: Callable[[Site, argparse.Namespace], Outcome]
    add_options: Callable[[argparse.ArgumentParser], object] = lambda parser: None


def _registration_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--name", help="what the portal calls this server (needed the first time)")
    parser.add_argument(
        "--trust",
        metavar="PATH",
        type=Path,
        help="what the portal's export_trust wrote (a folder, which also fixes the authorities below the root), or a"
        " file with the root certificate (needed the first time)",
    )
    parser.add_argument("--host", action="append", default=[], help="DNS name or address for HTTPS; may be repeated")
    parser.add_argument("--new-keys", action="store_true", help="ask for certificates for new keys")
    _output_option(parser)


def _output_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--output", metavar="FILE", type=Path, help="where to write it (.gz packs it; default: DIR/outbox)"
    )


def _request_registration(site: Site, options: argparse.Namespace) -> Outcome:
    return request_registration(
        site,
        name=options.name,
        trust=options.trust,
        hosts=options.host,
        output=options.output,
        new_keys=options.new_keys,
    )


def _file_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", type=Path)


def _sync_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--full", action="store_true", help="name everything, not only what has changed")
    _output_option(parser)


def _network_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--url", type=_url, help="the portal's address; remembered")
    parser.add_argument("--full", action="store_true", help="name everything, not only what has changed")


def _network(site: Site) -> Network:
    return Network(site, HttpPortal(), time.sleep)


def _sync(site: Site, options: argparse.Namespace) -> Outcome:
    return _network(site).synchronize(url=options.url, full=options.full)


def _serve_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--http", metavar="HOST:PORT", type=_address, help="default 127.0.0.1:8080 without --https")
    parser.add_argument("--https", metavar="HOST:PORT", type=_address)


def _serve(site: Site, options: argparse.Namespace) -> Outcome:
    """Until SIGINT or SIGTERM; prints one JSON line with the URLs once it answers."""
    with site.folder.reading() as database:
        load_server(database)
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    https = Https(site) if options.https else None
    servers: dict[str, LicenseServer] = {}
    try:
        if options.http or https is None:
            servers["http"] = LicenseServer(options.http or ("127.0.0.1", 8080), site)
        if https is not None:
            servers["https"] = LicenseServer(options.https, site, https.context)
    except OSError as error:
        raise UsageError(f"Cannot listen there: {error.strerror}.") from None

    def tick() -> None:
        run_due(site, _network(site).synchronize)
        if https is not None:
            https.refresh()

    service = Service(list(servers.values()), tick, every=LOOK_SECONDS)
    service.start()
    urls = {scheme: f"{scheme}://{server.server_address[0]!s}:{server.port}" for scheme, server in servers.items()}
    print(json.dumps({"ok": True, "serving": urls}), flush=True)
    stopped.wait()
    service.stop()
    return None


def _schedule_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("every", nargs="?", choices=[*SPANS, "off", "run"], help="run keeps it, as serve does")
    parser.add_argument("--at", metavar="HH:MM", type=_minute, default=180, help="time of day in UTC (default 03:00)")
    parser.add_argument("--url", type=_url, help="the portal's address; remembered")
    parser.add_argument("--once", action="store_true", help="with run: do what is due now and end")


def _schedule(site: Site, options: argparse.Namespace) -> Outcome:
    if options.every == "run":
        return _run_schedule(site, once=options.once)
    if options.every is not None:
        set_schedule(site, every=options.every, minute=options.at, url=options.url)
    shown = describe(site)
    return {name: shown.get(name) for name in ("schedule", "next_sync_at", "portal_url", "warnings")}


def _run_schedule(site: Site, *, once: bool) -> Outcome:
    synchronize = _network(site).synchronize
    if once:
        return {"ran": run_due(site, synchronize)}
    while due_at(site) is not None:
        done = run_due(site, synchronize)
        if done is not None:
            print(json.dumps(done), flush=True)
        time.sleep(LOOK_SECONDS)
    raise NotReady("There is no schedule; set one with: schedule daily --url …")


def _privacy_options(parser: argparse.ArgumentParser) -> None:
    for name in ("hostname", "ip-address", "mac-address"):
        parser.add_argument(f"--{name}", type=_switch, metavar="on|off", help="whether it is sent to the portal")


def _privacy(site: Site, options: argparse.Namespace) -> Outcome:
    return {
        "sent": set_privacy(
            site, hostname=options.hostname, ip_address=options.ip_address, mac_address=options.mac_address
        )
    }


def _token_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("virtual_account", metavar="NAME", help="a local Virtual Account")
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument("--uses", type=int, help="how many products may register with it (default: any number)")
    parser.add_argument("--description", default="")


def _create_token(site: Site, options: argparse.Namespace) -> Outcome:
    return create_token(
        site, options.virtual_account, days=options.days, uses=options.uses, description=options.description
    )


def _revoke_token(site: Site, options: argparse.Namespace) -> Outcome:
    revoke_token(site, options.id)
    return {"id": options.id}


def _rename_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME")
    parser.add_argument("new_name", metavar="NEW-NAME")


def _trust(site: Site, options: argparse.Namespace) -> Outcome:
    replace_trust(site, options.path)
    return {"trust": str(options.path)}


def _request_https(site: Site, options: argparse.Namespace) -> Outcome:
    request_https(site, options.host)
    return {"hosts": options.host}


COMMANDS: Final = (
    Command(
        "request-registration",
        "Write the registration file that the portal asks for.",
        _request_registration,
        _registration_options,
    ),
    Command(
        "install-authorization",
        "Install the authorization file that the portal gave for it.",
        lambda site, options: install_authorization(site, options.file),
        _file_option,
    ),
    Command("serve", "Answer products over HTTP or HTTPS, and keep the schedule.", _serve, _serve_options),
    Command(
        "request-sync",
        "Write a synchronization request.",
        lambda site, options: request_sync(site, full=options.full, output=options.output),
        _sync_options,
    ),
    Command(
        "install-sync",
        "Install the portal's response to a synchronization request.",
        lambda site, options: install_sync(site, options.file),
        _file_option,
    ),
    Command("sync", "Synchronize over the network.", _sync, _network_options),
    Command("schedule", "Show, set, end or keep the times of network synchronization.", _schedule, _schedule_options),
    Command("privacy", "Show or choose what of each product is sent to the portal.", _privacy, _privacy_options),
    Command("status", "Show the server, its certificates, accounts and deadlines.", lambda site, _: describe(site)),
    Command(
        "instances",
        "List the products that registered here.",
        lambda site, _: {"product_instances": list_instances(site)},
    ),
    Command(
        "create-virtual-account",
        "Create a local Virtual Account.",
        lambda site, options: create_account(site, options.name),
        lambda parser: parser.add_argument("name", metavar="NAME"),
    ),
    Command(
        "rename-virtual-account",
        "Rename a local Virtual Account.",
        lambda site, options: rename_account(site, options.name, options.new_name),
        _rename_options,
    ),
    Command("create-token", "Create an ID token; its value is shown this once.", _create_token, _token_options),
    Command(
        "revoke-token",
        "Revoke an ID token; products registered with it stay.",
        _revoke_token,
        lambda parser: parser.add_argument("id", metavar="ID", type=int, help="as status lists it"),
    ),
    Command(
        "request-https",
        "Ask for HTTPS certificates for other host names, with the next synchronization.",
        _request_https,
        lambda parser: parser.add_argument("host", nargs="+", metavar="HOST"),
    ),
    Command(
        "trust",
        "Trust the authorities that the portal exported anew.",
        _trust,
        lambda parser: parser.add_argument("path", metavar="PATH", type=Path),
    ),
)


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not HOST:PORT")
    return host, int(port)


def _minute(text: str) -> int:
    hour, _, minute = text.partition(":")
    if not (hour.isdecimal() and minute.isdecimal() and int(hour) < 24 and int(minute) < 60):
        raise argparse.ArgumentTypeError(f"{text!r} is not HH:MM")
    return int(hour) * 60 + int(minute)


def _switch(text: str) -> bool:
    if text not in ("on", "off"):
        raise argparse.ArgumentTypeError(f"{text!r} is neither on nor off")
    return text == "on"


def _url(text: str) -> str:
    try:
        return check_url(text)
    except UsageError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
