"""The command for usage reports: made of what is in use, sent, or saved for a person to upload."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from agents.smart_agent.client import SmartAgent
from agents.smart_agent.errors import UsageError
from agents.smart_agent.reservation_commands import read_certificate, read_file
from agents.smart_agent.usage import acknowledge_usage, report_usage, save_usage
from agents.smart_agent.usage_acknowledgements import MAX_FILE

Add = Callable[[str, Callable[..., dict[str, Any]], str], argparse.ArgumentParser]
MAX_SECONDS = 366 * 86_400


def add_rum_command(add: Add, parse_use: Callable[[str], tuple[str, int]]) -> None:
    rum = add("rum", _report, "Report what was used, as ISO/IEC 19770-4 usage reports, one for each license.")
    rum.add_argument("use", nargs="*", metavar="TAG=N", type=parse_use, help="what was used (default: what is in use)")
    rum.add_argument("--seconds", type=_parse_seconds, default=0, help="up to now (default: since the last report)")
    rum.add_argument("--save", metavar="FILE", type=Path, help="write what waits into a file instead of sending it")
    rum.add_argument("--acknowledge", metavar="FILE", type=Path, help="import the acknowledgement of an upload instead")
    rum.add_argument("--signer", metavar="PEM", type=Path, help="file with the reservation signing certificate")


def _report(agent: SmartAgent, options: argparse.Namespace) -> dict[str, Any]:
    use = dict(options.use)
    if len(use) != len(options.use):
        raise UsageError("A tag is given twice.")
    if options.acknowledge is not None:
        if use or options.save is not None:
            raise UsageError("An acknowledgement is imported by itself.")
        content = read_file(options.acknowledge, MAX_FILE)
        return acknowledge_usage(agent, content, signer=read_certificate(options.signer)) | {"acknowledged": True}
    if options.save is None:
        return report_usage(agent, use or None, seconds=options.seconds)
    content, outcome = save_usage(agent, use or None, seconds=options.seconds)
    try:
        options.save.write_bytes(content)
    except OSError as error:
        raise UsageError(f"{options.save} cannot be written: {error.strerror}.") from None
    return outcome | {"file": str(options.save)}


def _parse_seconds(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or not 0 < int(text[:12]) <= MAX_SECONDS:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds from 1 to {MAX_SECONDS}")
    return int(text)
