"""Conversions: classic licenses of this product become Smart Licenses (WP "Conversion request"), polled for."""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from agents.smart_agent.client import MAX_COUNT, SmartAgent
from agents.smart_agent.errors import Refused, UsageError, VerificationFailed
from agents.smart_agent.messages import OK_POLL, RequestType, Response, read_promise
from agents.smart_agent.state import Conversion, State

MAX_LICENSE_FILE: Final = 64 * 1024
PENDING: Final = "PENDING"
Add = Callable[[str, Callable[..., dict[str, Any]], str], argparse.ArgumentParser]


class Line(msgspec.Struct, frozen=True, omit_defaults=True):
    """One classic license, as it travels."""

    conversion_type: str
    entitlement_tag: str
    count: int
    payload: str | None = None


class Result(msgspec.Struct, frozen=True):
    """The data of an answer to the end."""

    conversion_status: str
    status_message: str = ""


def convert(agent: SmartAgent, lines: Sequence[Line]) -> dict[str, Any]:
    """Ask for the conversion. Returns the status, whose `conversion` is PENDING until `poll` has fetched the result."""
    product = agent.peek().product
    if not lines or product is None:
        raise UsageError("This product is not registered." if lines else "Name at least one license.")
    rows = [msgspec.to_builtins(line) for line in lines]
    data = {"software_tag_identifier": product.software_tag, "conversion_lines": rows}
    return agent.tell(RequestType.CONVERSION, data, lambda state, response: _note(agent, state, response))


def poll(agent: SmartAgent) -> dict[str, Any]:
    """Ask for the result of the conversion that is pending. Returns the status."""
    known = agent.peek().conversion
    if known is None or known.poll_id is None:
        raise UsageError("Nothing is pending.")
    data = {"poll_id": known.poll_id}
    try:
        return agent.tell(RequestType.POLL, data, lambda state, response: _note(agent, state, response))
    except Refused as refusal:
        if refusal.code == "POLL_UNKNOWN" and refusal.signed:
            agent.give_up_polling(str(refusal))
        raise


def _note(agent: SmartAgent, state: State, response: Response) -> None:
    try:
        if response.status_code == OK_POLL:
            promise = read_promise(response)
            at = agent.now() + promise.poll_interval * 1000
            state.conversion = Conversion(status=PENDING, poll_id=promise.poll_id, poll_at=at)
        else:
            result = msgspec.convert(response.data, Result)
            state.conversion = Conversion(status=result.conversion_status, message=result.status_message)
    except msgspec.ValidationError as error:
        raise VerificationFailed(f"The answer about the conversion is incomplete: {error}.") from None


def add_conversion_commands(add: Add) -> None:
    command = add("convert", _convert, "Convert classic licenses of this product to Smart Licenses.")
    command.add_argument(
        "lines", nargs="*", metavar="TAG=N", type=_parse_line, help="a license that is only configured (trust-based)"
    )
    command.add_argument(
        "--license-file",
        nargs=2,
        action="append",
        default=[],
        metavar=("TAG=N", "FILE"),
        help="a license with its license file; may be repeated",
    )


def _convert(agent: SmartAgent, options: argparse.Namespace) -> dict[str, Any]:
    lines = [Line("TRUST_BASED", tag, count) for tag, count in options.lines]
    for text, path in options.license_file:
        try:
            tag, count = _parse_line(text)
        except argparse.ArgumentTypeError as error:
            raise UsageError(f"{error}.") from None
        lines.append(Line("LICENSE_FILE", tag, count, _read(Path(path))))
    return convert(agent, lines)


def _parse_line(text: str) -> tuple[str, int]:
    """A tag may hold commas and dots but no `=`."""
    tag, _, count = text.partition("=")
    if not tag or not (count.isascii() and count.isdigit()) or len(count) > 10 or not 1 <= int(count) <= MAX_COUNT:
        raise argparse.ArgumentTypeError(f"{text!r} is not TAG=N with N from 1 to {MAX_COUNT}")
    return tag, int(count)


def _read(path: Path) -> str:
    try:
        content = path.read_bytes()[: MAX_LICENSE_FILE + 1]
        if len(content) > MAX_LICENSE_FILE:
            raise UsageError(f"{path} is larger than {MAX_LICENSE_FILE:,} bytes.")
        return content.decode()
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise UsageError(f"{path} is no text in UTF-8.") from None
