"""Keys of third parties, as the portal told them in the last full file (WP "Third-party provider information")."""

import sqlite3
from typing import Any, Final

import msgspec

from agents.onprem.products.wire import Refusal, Request, ThirdPartyData, parse_data

RETRY_SECONDS: Final = 24 * 60 * 60


def give_third_party_key(database: sqlite3.Connection, request: Request, instance: sqlite3.Row) -> dict[str, Any]:
    """The key of that name. Raises Refusal: the files carry keys for the server, never for one product's request."""
    data = parse_data(request, ThirdPartyData)
    if data.key_id or data.parameters:
        raise Refusal(
            "UNSUPPORTED_REQUEST",
            "This server has only the keys that the portal gave it, by name: a key for a key_id or for parameters is"
            " made by the provider, which only a product registered to the portal itself can ask.",
        )
    row = database.execute("SELECT * FROM provider WHERE name = ?", [data.provider]).fetchone()
    if row is None or not row["enabled"]:
        raise Refusal("NOT_ENTITLED", f"{data.provider} is not enabled for this server at the portal.")
    keys = msgspec.json.decode(row["keys"])
    if not keys:
        message = (
            f"{data.provider} did not answer when the portal wrote its last full file; its keys come with the next"
            " full synchronization."
        )
        raise Refusal("INTERNAL", message, later=RETRY_SECONDS)
    found = [key for key in keys if key["name"] == data.key_name]
    if not found:
        names = ", ".join(sorted({key["name"] for key in keys}))
        raise Refusal("NOT_ENTITLED", f"Of {data.provider} this server was given no key of that name; it has: {names}.")
    account = database.execute("SELECT name FROM local_account WHERE id = ?", [instance["account_id"]]).fetchone()
    return {
        "virtual_account": account["name"],
        "sudi": request.header.sudi,
        "piid": instance["piid"],
        "keys": found,
    }
