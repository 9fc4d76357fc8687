"""The program: arguments in, one line (or with --json one object) out, and an exit code.

0 done · 1 refused by the server (its error code is printed) · 2 wrong use, or something did not verify · 3 no answer
"""

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from agents.smart_agent.client import MAX_COUNT, SmartAgent
from agents.smart_agent.conversions import add_conversion_commands
from agents.smart_agent.errors import AgentError, Refused, UsageError
from agents.smart_agent.messages import Sudi
from agents.smart_agent.polling import add_poll_command
from agents.smart_agent.report import describe_outcome
from agents.smart_agent.reservation_commands import add_reservation_commands
from agents.smart_agent.rum_commands import add_rum_command
from agents.smart_agent.running import add_running
from agents.smart_agent.special_commands import add_special_commands
from agents.smart_agent.state import Product, StateStore
from agents.smart_agent.transport import KINDS, place_url

STATE_VARIABLE: Final = "SMART_AGENT_STATE"
DEFAULT_STATE: Final = "~/.local/state/smart-agent"
MAX_ROOT_FILE: Final = 64 * 1024

AgentFactory = Callable[[StateStore], SmartAgent]


def main(arguments: Sequence[str], make_agent: AgentFactory = SmartAgent) -> int:
    """Run one command; returns the exit code (argparse exits by itself with 2)."""
    options = build_parser().parse_args(arguments)
    folder = getattr(options, "state", None) or os.environ.get(STATE_VARIABLE) or DEFAULT_STATE
    as_json = getattr(options, "json", False)
    try:
        agent = make_agent(StateStore(Path(folder).expanduser()))
        if getattr(options, "transport", None):
            agent.use_transport(options.transport)
        outcome = options.run(agent, options)
    except AgentError as error:
        _print_error(error, as_json=as_json)
        return error.exit_code
    if as_json:
        print(json.dumps({"ok": True} | outcome, indent=2))
    else:
        print(describe_outcome(options.command, outcome))
    return 0


def build_parser() -> argparse.ArgumentParser:
    common = argparse.ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS)
    common.add_argument("--state", metavar="DIR", help=f"folder of its own (${STATE_VARIABLE}, else {DEFAULT_STATE})")
    common.add_argument("--transport", choices=KINDS, help="Smart Transport, or Call Home (SOAP); kept until changed")
    common.add_argument("--json", action="store_true", help="print one JSON object")
    parser = argparse.ArgumentParser(
        prog="smart-agent",
        description="The Smart Agent of one product.",
        epilog=(__doc__ or "").partition("\n\n")[2],
        parents=[common],
    )
    commands = parser.add_subparsers(dest="command", required=True)

    def add(name: str, run: Callable[..., dict[str, Any]], text: str) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=text, description=text, parents=[common])
        command.set_defaults(run=run)
        return command

    _add_registration_options(add("register", _register, "Register with an ID token, acknowledge, report current use."))
    add("ack", _acknowledge, "Acknowledge the certificates of the registration or of a renewal.")
    add("renew", _renew, "Get new certificates for a new key, and acknowledge them.")
    authorize = add("authorize", _authorize, "Report the whole current use; without arguments the same as last time.")
    authorize.add_argument("use", nargs="*", metavar="TAG=N", type=_parse_use, help="an entitlement tag and its count")
    deregister = add("deregister", _deregister, "Give the registration back.")
    deregister.add_argument("--force", action="store_true", help="forget it here even if the server does not confirm")
    add_conversion_commands(add)
    add_poll_command(add)
    add_rum_command(add, _parse_use)
    add_reservation_commands(add)
    add_special_commands(add)
    add_running(commands.add_parser, common)
    add("status", _status, "Show states, time left and deadlines.")
    return parser


def _add_registration_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--url", required=True, type=_parse_text, help="the license service, e.g. https://portal.example"
    )
    parser.add_argument("--trust", required=True, metavar="PEM", type=Path, help="file with the root certificate")
    parser.add_argument("--token", required=True, type=_parse_text, help="the ID token")
    parser.add_argument("--pid", required=True, type=_parse_text, help="product id")
    parser.add_argument("--sn", required=True, type=_parse_text, help="serial number")
    parser.add_argument("--vid", type=_parse_text, help="version id")
    parser.add_argument("--uuid", type=_parse_text, help="the product's UUID")
    parser.add_argument("--host-identifier", type=_parse_text)
    parser.add_argument(
        "--software-tag", metavar="TAG", type=_parse_text, help="ISO 19770-2 tag of the software (default: the PID)"
    )
    parser.add_argument("--hostname", type=_parse_text)
    parser.add_argument("--ip-address", type=_parse_text)
    parser.add_argument("--mac-address", type=_parse_text)
    parser.add_argument("--ha-peer", action="append", default=[], metavar="PID:SN", type=_parse_peer)
    parser.add_argument("--three-tier", action="store_true", help="an older product, that checks 3-tier chains only")
    parser.add_argument("--no-ack", action="store_true", help="stop after the registration itself")
    parser.add_argument("--force", action="store_true", help="register anew although registered")


def _register(agent: SmartAgent, options: argparse.Namespace) -> dict[str, Any]:
    sudi = Sudi(
        udi_pid=options.pid,
        udi_serial_number=options.sn,
        udi_vid=options.vid,
        uuid=options.uuid,
        host_identifier=options.host_identifier,
    )
    product = Product(
        sudi=sudi,
        software_tag=options.software_tag or options.pid,
        hostname=options.hostname or "",
        ip_address=options.ip_address or "",
        mac_address=options.mac_address or "",
        ha_peers=options.ha_peer,
        three_tier=options.three_tier,
    )
    root = _read_root(options.trust)
    url = place_url(options.url, options.transport) if getattr(options, "transport", None) else options.url
    outcome = agent.register(url=url, root=root, product=product, token=options.token, force=options.force)
    return outcome if options.no_ack else _follow_up(agent, outcome)


def _follow_up(agent: SmartAgent, outcome: dict[str, Any]) -> dict[str, Any]:
    """What a product does by itself once registered. Registered it is, also if this does not get through."""
    try:
        outcome = agent.acknowledge()
        if any(entitlement["count"] for entitlement in outcome["entitlements"]):
            outcome = agent.authorize()
    except AgentError as error:
        return agent.status() | {"follow_up": {"error_code": error.code, "message": str(error)}}
    return outcome


def _acknowledge(agent: SmartAgent, _: argparse.Namespace) -> dict[str, Any]:
    return agent.acknowledge()


def _renew(agent: SmartAgent, _: argparse.Namespace) -> dict[str, Any]:
    return agent.renew()


def _authorize(agent: SmartAgent, options: argparse.Namespace) -> dict[str, Any]:
    use = dict(options.use)
    if len(use) != len(options.use):
        raise UsageError("A tag is given twice.")
    return agent.authorize(use or None)


def _deregister(agent: SmartAgent, options: argparse.Namespace) -> dict[str, Any]:
    return agent.deregister(force=options.force)


def _status(agent: SmartAgent, _: argparse.Namespace) -> dict[str, Any]:
    return agent.status()


def _parse_use(text: str) -> tuple[str, int]:
    """A tag may hold commas and dots but no `=`."""
    tag, _, count = text.partition("=")
    if not tag or not (count.isascii() and count.isdigit()) or len(count) > 10 or int(count) > MAX_COUNT:
        raise argparse.ArgumentTypeError(f"{text!r} is not TAG=N with N from 0 to {MAX_COUNT}")
    return _parse_text(tag), int(count)


def _parse_peer(text: str) -> Sudi:
    """Split at the last colon, as everywhere a UDI is one word."""
    pid, _, serial = text.rpartition(":")
    if not pid or not serial:
        raise argparse.ArgumentTypeError(f"{text!r} is not PID:SN")
    return Sudi(udi_pid=pid, udi_serial_number=serial)


def _parse_text(text: str) -> str:
    """Not empty, and UTF-8 (the shell may hand over any bytes)."""
    if not text or not text.isprintable():
        raise argparse.ArgumentTypeError(f"{text!a} is empty or holds characters that cannot be printed")
    return text


def _read_root(path: Path) -> str:
    try:
        content = path.read_bytes()[: MAX_ROOT_FILE + 1]
        if len(content) > MAX_ROOT_FILE:
            raise UsageError(f"{path} is too large for a certificate.")
        return content.decode("ascii")
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise UsageError(f"{path} is not a PEM file.") from None


def _print_error(error: AgentError, *, as_json: bool) -> None:
    if as_json:
        answer: dict[str, Any] = {"ok": False, "error_code": error.code, "message": str(error)}
        if isinstance(error, Refused):
            answer |= {"signed": error.signed, "retry_time_seconds": error.retry_seconds}
        print(json.dumps(answer, indent=2))
        return
    later = f" Try again in {error.retry_seconds} s." if isinstance(error, Refused) and error.retry_seconds else ""
    print(f"{error.code}: {error}{later}", file=sys.stderr)
