"""What products use, and whether it is covered by what the portal last told of the Virtual Account."""

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from agents.onprem.products.counting import recounted
from agents.onprem.products.high_availability import find_group
from agents.onprem.products.wire import AuthorizationData, Refusal, Request, Sudi, parse_data
from agents.onprem.server import load_server, next_revision

NEXT_REQUEST_SECONDS: Final = 2_592_000
EXPIRES_SECONDS: Final = 7_776_000


@dataclass(frozen=True, slots=True)
class Figures:
    """One license in one local Virtual Account: what the portal told, what it knew of our use then, and our use now."""

    tag: str
    display_name: str
    purchased: int
    reserved: int
    used_elsewhere: int
    used_here: int
    covered: bool


def authorize(database: sqlite3.Connection, request: Request, instance: sqlite3.Row) -> dict[str, Any]:
    """Record the whole current use. It never fails for want of licenses: the answer says so."""
    data = parse_data(request, AuthorizationData)
    use = {one.tag: one.count for one in data.entitlements}
    if len(use) != len(data.entitlements):
        raise Refusal("MALFORMED", "An entitlement tag stands there twice.")
    facts = {"hostname": data.hostname, "ip_address": data.ip_address, "mac_address": data.mac_address}
    changed = note_facts(database, instance, facts, data.ha_peers, instance["software_tag"])
    changed = _note_use(database, instance["id"], use) or changed
    if changed:
        database.execute("UPDATE instance SET changed = ? WHERE id = ?", [next_revision(database), instance["id"]])
    figures = account_figures(database, instance["account_id"])
    return {
        "compliance_status": "In Compliance" if all(one.covered for one in figures.values()) else "Out Of Compliance",
        "entitlements": [
            {"tag": tag, "count": count, "status": _verdict(figures.get(tag))} for tag, count in use.items()
        ],
        "next_request_seconds": NEXT_REQUEST_SECONDS,
        "authorization_expires_seconds": EXPIRES_SECONDS,
    }


def note_facts(
    database: sqlite3.Connection, instance: sqlite3.Row, facts: Mapping[str, str], peers: list[Sudi], software_tag: str
) -> bool:
    """Host name, addresses and HA peers as the product tells them now (nothing told erases); whether any is new."""
    listed = sorted({peer.udi for peer in peers})
    group = find_group(database, instance, listed, software_tag)
    values = {
        **facts,
        "ha_peers": msgspec.json.encode(listed).decode(),
        "software_tag": software_tag,
        "ha_group": group,
    }
    if all(instance[name] == value for name, value in values.items()):
        return False
    with recounted(database, instance, group=group):
        database.execute(
            "UPDATE instance SET hostname = :hostname, ip_address = :ip_address, mac_address = :mac_address,"
            " ha_peers = :ha_peers, software_tag = :software_tag, ha_group = :ha_group WHERE id = :id",
            values | {"id": instance["id"]},
        )
    return True


def _note_use(database: sqlite3.Connection, instance_id: int, use: Mapping[str, int]) -> bool:
    instance = database.execute("SELECT * FROM instance WHERE id = ?", [instance_id]).fetchone()
    rows = database.execute("SELECT tag, quantity FROM usage WHERE instance_id = ?", [instance_id])
    known = {row["tag"]: row["quantity"] for row in rows}
    wanted = dict.fromkeys(known, 0) | dict(use)
    news = [(instance_id, tag, count) for tag, count in wanted.items() if known.get(tag, 0) != count]
    if not news:
        return False
    with recounted(database, instance):
        database.executemany(
            "INSERT INTO usage (instance_id, tag, quantity) VALUES (?, ?, ?)"
            " ON CONFLICT (instance_id, tag) DO UPDATE SET quantity = excluded.quantity",
            news,
        )
    return True


def used_by_account(database: sqlite3.Connection) -> sqlite3.Cursor:
    """(account_id, tag, quantity) of all use here."""
    return database.execute("SELECT account_id, tag, quantity FROM account_use WHERE quantity > 0")


def account_figures(database: sqlite3.Connection, account_id: int) -> dict[str, Figures]:
    """By tag, for every license that is owned or used in one local Virtual Account.

    The portal's figures are as old as the last synchronization: what others use there is its `in_use` without what it
    knew of ours. A license that it called in compliance covers what we used then (it may be lent from a higher one).
    """
    export = load_server(database).installed_export
    known = {
        row["tag"]: row["quantity"]
        for row in database.execute(
            "SELECT tag, quantity FROM export_use WHERE account_id = ? AND"
            " export_id = (SELECT id FROM export WHERE generated = ?)",
            [account_id, export],
        )
    }
    here = {row["tag"]: row["quantity"] for row in used_by_account(database) if row["account_id"] == account_id}
    told = {
        row["tag"]: row for row in database.execute("SELECT * FROM portal_license WHERE account_id = ?", [account_id])
    }
    return {tag: _figures(tag, told.get(tag), known.get(tag, 0), here.get(tag, 0)) for tag in sorted({*told, *here})}


def _figures(tag: str, told: sqlite3.Row | None, known: int, here: int) -> Figures:
    if told is None:
        return Figures(tag, "", 0, 0, 0, here, here == 0)
    elsewhere = max(0, told["in_use"] - known)
    enough = told["purchased"] - told["reserved"] - elsewhere - here >= 0
    covered = enough or bool(told["in_compliance"] and here <= known)
    return Figures(tag, told["display_name"], told["purchased"], told["reserved"], elsewhere, here, covered)


def _verdict(figures: Figures | None) -> str:
    return "AUTHORIZED" if figures is None or figures.covered else "OUT_OF_COMPLIANCE"
