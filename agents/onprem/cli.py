"""The program: arguments in, one line (or with --json one object) out, and an exit code.

0 done · 1 refused (a file that is not installed, or the portal's no: the code is printed) · 2 wrong use · 3 no answer
"""

import argparse
import json
import os
import sqlite3
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from agents.common.errors import AgentError, Refused
from agents.onprem.commands import COMMANDS, Outcome
from agents.onprem.errors import FileRefused, StorageFailed
from agents.onprem.folder import StateFolder
from agents.onprem.report import describe_outcome
from agents.onprem.server import Site

STATE_VARIABLE: Final = "ONPREM_STATE"
DEFAULT_STATE: Final = "~/.local/state/onprem"


def main(arguments: Sequence[str], site: Site | None = None) -> int:
    """Run one command; returns the exit code (argparse exits by itself with 2)."""
    options = build_parser().parse_args(arguments)
    folder = getattr(options, "state", None) or os.environ.get(STATE_VARIABLE) or DEFAULT_STATE
    as_json = getattr(options, "json", False)
    try:
        outcome: Outcome = options.run(site or Site(StateFolder(Path(folder).expanduser())), options)
    except (OSError, sqlite3.Error) as error:
        _print_error(StorageFailed(f"{error}. Nothing was changed."), as_json=as_json)
        return StorageFailed.exit_code
    except AgentError as error:
        _print_error(error, as_json=as_json)
        return error.exit_code
    if outcome is not None:
        print(json.dumps({"ok": True} | outcome, indent=2) if as_json else describe_outcome(options.command, outcome))
    return 0


def build_parser() -> argparse.ArgumentParser:
    common = argparse.ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS)
    common.add_argument("--state", metavar="DIR", help=f"folder of its own (${STATE_VARIABLE}, else {DEFAULT_STATE})")
    common.add_argument("--json", action="store_true", help="print one JSON object")
    parser = argparse.ArgumentParser(
        prog="onprem",
        description="An on-prem license server.",
        epilog=(__doc__ or "").partition("\n\n")[2],
        parents=[common],
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for command in COMMANDS:
        added = commands.add_parser(command.name, help=command.text, description=command.text, parents=[common])
        command.add_options(added)
        added.set_defaults(run=command.run)
    return parser


def _print_error(error: AgentError, *, as_json: bool) -> None:
    if not as_json:
        print(f"{error.code}: {error}", file=sys.stderr)
        return
    answer: dict[str, object] = {"ok": False, "error_code": error.code, "message": str(error)}
    if isinstance(error, FileRefused):
        answer |= {"line": error.line, "key": error.key}
    if isinstance(error, Refused):
        answer |= {"retry_time_seconds": error.retry_seconds}
    print(json.dumps(answer, indent=2))
