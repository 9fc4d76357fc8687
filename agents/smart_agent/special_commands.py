"""The commands for what only some products ask for."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from agents.smart_agent.client import SmartAgent
from agents.smart_agent.export_keys import request_key, return_key
from agents.smart_agent.reservation_commands import read_certificate

Add = Callable[[str, Callable[..., dict[str, Any]], str], argparse.ArgumentParser]


def add_special_commands(add: Add) -> None:
    export = add("export", _export, "Get a key for an export-controlled license, or give it back.")
    export.add_argument("tag", metavar="TAG", help="the entitlement tag")
    export.add_argument("--count", type=int, default=1, metavar="N", help="for so many units in all (default 1)")
    export.add_argument("--signer", metavar="PEM", type=Path, help="file with the reservation signing certificate")
    export.add_argument("--return", dest="give_back", action="store_true", help="forget the key; show its return code")


def _export(agent: SmartAgent, options: argparse.Namespace) -> dict[str, Any]:
    if options.give_back:
        return return_key(agent, tag=options.tag)
    return request_key(agent, tag=options.tag, count=options.count, signer=read_certificate(options.signer))
