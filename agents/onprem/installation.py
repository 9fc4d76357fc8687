"""Takes a response's Virtual Accounts, licenses, providers and marks into the database, in the caller's transaction."""

import sqlite3
from typing import Any, Final

import msgspec

from agents.onprem.accounts import add_account, change_name
from agents.onprem.products.conversions import settle_conversions

IN_COMPLIANCE: Final = frozenset({"in compliance", "in_compliance", "authorized"})


class Installation:
    """`revision` is that of the request which the response answers: what changed here later is newer than it."""

    def __init__(self, database: sqlite3.Connection, *, revision: int) -> None:
        self._database = database
        self.revision = revision
        self._names: dict[int, str] = {}
        self._conversions: list[dict[str, Any]] = []

    def take_account(self, account: dict[str, Any]) -> None:
        """One Virtual Account with all its licenses, which replace those known before."""
        row = self._find(account["id"], account["name"])
        self._names[row["id"]] = account["name"]
        self._database.execute("DELETE FROM portal_license WHERE account_id = ?", [row["id"]])
        self._database.executemany(
            "INSERT OR REPLACE INTO portal_license (account_id, tag, display_name, purchased, reserved, in_use,"
            " in_compliance, terms) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            [
                (
                    row["id"],
                    one["tag"],
                    one["display_name"],
                    one["purchased_quantity"],
                    one["reserved_quantity"],
                    one["in_use_quantity"],
                    one["compliance_status"].lower() in IN_COMPLIANCE,
                    msgspec.json.encode(one["terms"]).decode(),
                )
                for one in account["licenses"]
            ],
        )

    def take_conversion(self, conversion: dict[str, Any]) -> None:
        """The result of one conversion, for the product that asked; see `finish`."""
        self._conversions.append(conversion)

    def finish(self, values: dict[str, Any]) -> None:
        """What can only be settled when the whole file is known: names, conversions, providers, marks."""
        self._rename()
        if self._conversions:
            settle_conversions(self._database, self._conversions, values["last_generated"])
        providers = values["third_party_providers"]
        if providers is not None:
            self._database.execute("DELETE FROM provider")
            self._database.executemany(
                "INSERT OR REPLACE INTO provider (name, enabled, keys) VALUES (?, ?, ?)",
                [(one["provider"], one["enabled"], msgspec.json.encode(one["keys"]).decode()) for one in providers],
            )
        self._database.execute("DELETE FROM marked")
        self._database.executemany(
            "INSERT INTO marked (facts) VALUES (?)",
            [(msgspec.json.encode(one).decode(),) for one in values["marked"]],
        )

    def _find(self, number: str, name: str) -> sqlite3.Row:
        """By our id; where the portal does not know ours yet, by name; else it is new here."""
        known: sqlite3.Row | None = None
        if number.isdecimal():
            known = self._database.execute("SELECT * FROM local_account WHERE id = ?", [int(number)]).fetchone()
        known = known or self._database.execute("SELECT * FROM local_account WHERE name = ?", [name]).fetchone()
        return known or add_account(self._database, name, number=int(number) if number.isdecimal() else None)

    def _rename(self) -> None:
        """The newer name wins: one changed here since the request travels in the next file."""
        rows = self._database.execute("SELECT * FROM local_account").fetchall()
        wanted = {
            row["id"]: self._names[row["id"]]
            for row in rows
            if row["id"] in self._names and row["changed"] <= self.revision and row["name"] != self._names[row["id"]]
        }
        kept = {row["name"] for row in rows if row["id"] not in wanted}
        wanted = {number: name for number, name in wanted.items() if name not in kept}
        for number in wanted:
            change_name(self._database, number, f"\0{number}")
        for number, name in wanted.items():
            change_name(self._database, number, name)
