"""The command for usage reports: made of what is in use, sent, or saved for a person to upload."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from agents.smart_agent.client import SmartAgent
from agents.smart_agent.errors import UsageError

Add = Callable[[str, Callable[..., dict[str, Any]], str], argparse.ArgumentParser]
MAX_SECONDS = 366 * 86_400


def add_rum_command(add: Add, parse_use: Callable[[str], tuple[str, int]]) -> None:
    rum = add("rum", _report, "Report what was used, as ISO/IEC 19770-4 usage reports, one for each license.")
    rum.add_argument("use", nargs="*", metavar="TAG=N", type=parse_use, help="what was used (default: what is in use)")
    rum.add_argument("--seconds", type=_parse_seconds, default=0, help="up to now (default: since the last report)")
    rum.add_argument("--save", metavar="FILE", type=Path, help="write what waits into a file instead of sending it")


def _report(agent: SmartAgent, options: argparse.Namespace) -> dict[str, Any]:
    use = dict(options.use)
    if len(use) != len(options.use):
        raise UsageError("A tag is given twice.")
    if options.save is None:
        return agent.report_usage(use or None, seconds=options.seconds)
    content, outcome = agent.save_usage(use or None, seconds=options.seconds)
    try:
        options.save.write_bytes(content)
    except OSError as error:
        raise UsageError(f"{options.save} cannot be written: {error.strerror}.") from None
    return outcome | {"file": str(options.save)}


def _parse_seconds(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or not 0 < int(text[:12]) <= MAX_SECONDS:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds from 1 to {MAX_SECONDS}")
    return int(text)
