"""The commands of license reservation: for a product that only a person copying codes connects with the server."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from agents.smart_agent.client import SmartAgent
from agents.smart_agent.errors import UsageError
from agents.smart_agent.messages import Sudi
from agents.smart_agent.reservation_codes import MAX_SIZE
from agents.smart_agent.state import Product

MAX_CERTIFICATE: Final = 64 * 1024
Add = Callable[[str, Callable[..., dict[str, Any]], str], argparse.ArgumentParser]


def add_reservation_commands(add: Add) -> None:
    request = add("reserve-request", _request, "Show the request code of a license reservation.")
    request.add_argument("--pid", help="product id (known from an earlier command)")
    request.add_argument("--sn", help="serial number")
    request.add_argument("--uuid", help="the product's UUID")
    request.add_argument("--software-tag", metavar="TAG", help="ISO 19770-2 tag of the software (default: the PID)")
    request.add_argument("--trust", metavar="PEM", type=Path, help="file with the root certificate")
    request.add_argument("--signer", metavar="PEM", type=Path, help="file with the reservation signing certificate")
    request.add_argument("--universal", action="store_true", help="everything (PLR) instead of chosen licenses (SLR)")
    install = add("reserve-install", _install, "Install an authorization code and show its confirmation code.")
    install.add_argument("file", metavar="FILE", type=Path)
    add("reserve-return", _return, "Give the reservation up and show its return code.")


def _request(agent: SmartAgent, options: argparse.Namespace) -> dict[str, Any]:
    product = None
    if options.pid or options.sn:
        if not (options.pid and options.sn):
            raise UsageError("Give both --pid and --sn.")
        sudi = Sudi(udi_pid=options.pid, udi_serial_number=options.sn, uuid=options.uuid)
        product = Product(sudi=sudi, software_tag=options.software_tag or options.pid)
    return agent.reservations.request(
        product=product,
        root=read_certificate(options.trust),
        signer=read_certificate(options.signer),
        universal=options.universal,
    )


def _install(agent: SmartAgent, options: argparse.Namespace) -> dict[str, Any]:
    return agent.reservations.install(read_file(options.file, MAX_SIZE))


def _return(agent: SmartAgent, _: argparse.Namespace) -> dict[str, Any]:
    return agent.reservations.give_back()


def read_certificate(path: Path | None) -> str:
    if path is None:
        return ""
    try:
        return read_file(path, MAX_CERTIFICATE).decode("ascii")
    except UnicodeDecodeError:
        raise UsageError(f"{path} is not a PEM file.") from None


def read_file(path: Path, limit: int) -> bytes:
    """Raises UsageError."""
    try:
        with path.open("rb") as file:
            content = file.read(limit + 1)
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}.") from None
    if len(content) > limit:
        raise UsageError(f"{path} is larger than {limit:,} bytes.")
    return content
