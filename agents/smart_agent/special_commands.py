"""The commands for what only some products ask for."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from agents.smart_agent.client import SmartAgent
from agents.smart_agent.errors import UsageError
from agents.smart_agent.export_keys import request_key, return_key
from agents.smart_agent.reservation_commands import read_certificate
from agents.smart_agent.third_party import PROVIDERS, fetch_keys

Add = Callable[[str, Callable[..., dict[str, Any]], str], argparse.ArgumentParser]


def add_special_commands(add: Add) -> None:
    export = add("export", _export, "Get a key for an export-controlled license, or give it back.")
    export.add_argument("tag", metavar="TAG", help="the entitlement tag")
    export.add_argument("--count", type=int, default=1, metavar="N", help="for so many units in all (default 1)")
    export.add_argument("--signer", metavar="PEM", type=Path, help="file with the reservation signing certificate")
    export.add_argument("--return", dest="give_back", action="store_true", help="forget the key; show its return code")
    third_party = add("third-party", _third_party, "Get keys of a third party through the license service.")
    third_party.add_argument("provider", choices=PROVIDERS)
    third_party.add_argument("key_name", metavar="KEY_NAME")
    third_party.add_argument("--key-id", default="", metavar="ID")
    third_party.add_argument("--parameter", action="append", default=[], metavar="NAME=VALUE")


def _export(agent: SmartAgent, options: argparse.Namespace) -> dict[str, Any]:
    if options.give_back:
        return return_key(agent, tag=options.tag)
    return request_key(agent, tag=options.tag, count=options.count, signer=read_certificate(options.signer))


def _third_party(agent: SmartAgent, options: argparse.Namespace) -> dict[str, Any]:
    pairs = [text.partition("=") for text in options.parameter]
    if not all(name and equals for name, equals, _ in pairs):
        raise UsageError("A parameter is NAME=VALUE.")
    return fetch_keys(
        agent,
        provider=options.provider,
        key_name=options.key_name,
        key_id=options.key_id,
        parameters={name: value for name, _, value in pairs},
    )
