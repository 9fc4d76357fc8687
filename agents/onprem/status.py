"""The server as plain data: who it is, what it was given, what it holds, and what is due."""

import sqlite3
from typing import Any, Final

import msgspec

from agents.common.trust import load_certificate
from agents.onprem.documents.responses import THREE_TIER
from agents.onprem.documents.writer import stamp
from agents.onprem.products.use import account_figures
from agents.onprem.server import Phase, Server, Site, find_server, moment

DAY_MS: Final = 24 * 60 * 60 * 1000
OVERDUE_DAYS: Final = (
    (90, "The portal removes a server after 90 days without synchronization."),
    (60, "The last synchronization is more than 60 days ago; after 90 the portal removes this server."),
    (30, "Synchronization is overdue: the last one is more than 30 days ago."),
)


def describe(site: Site) -> dict[str, Any]:
    """Reads only. Times are ISO 8601 in UTC, or None."""
    if not site.folder.exists:
        return {"phase": str(Phase.NEW)}
    with site.folder.reading() as database:
        server = find_server(database)
        if server is None:
            return {"phase": str(Phase.NEW)}
        return _identity(server) | _state(server, site.now()) | _contents(database)


def _identity(server: Server) -> dict[str, Any]:
    return {
        "phase": str(server.phase),
        "instance_id": server.instance_id,
        "satellite_name": server.satellite_name,
        "smart_account": server.smart_account or None,
        "account_domain": server.account_domain or None,
        "registered_at": _time(server.registered_at),
        "hosts": server.keys.hosts if server.keys else server.requested.hosts if server.requested else [],
        "privacy": msgspec.structs.asdict(server.privacy),
        "portal_url": server.portal_url or None,
    }


def _state(server: Server, now: int) -> dict[str, Any]:
    certificates = {
        name: stamp(load_certificate(pem, name).not_valid_after_utc)
        for name, pem in sorted(server.certificates.items())
    }
    age = now - server.last_installed_at if server.last_installed_at else 0
    warnings = [text for days, text in OVERDUE_DAYS if age >= days * DAY_MS][:1]
    if server.schedule is not None and server.schedule.failures:
        warnings.append(f"{server.schedule.failures} synchronizations failed: {server.schedule.last_error}")
    return {
        "certificates": certificates,
        "three_tier": THREE_TIER in server.certificates,
        "last_sync": server.last_sync,
        "last_installed_at": _time(server.last_installed_at),
        "last_generated": server.last_generated or None,
        "schedule": server.schedule.every if server.schedule else None,
        "next_sync_at": _time(server.schedule.due_at) if server.schedule else None,
        "warnings": warnings,
    }


def _contents(database: sqlite3.Connection) -> dict[str, Any]:
    counts = {
        row["account_id"]: row["number"]
        for row in database.execute("SELECT account_id, COUNT(*) AS number FROM instance WHERE is_active GROUP BY 1")
    }
    accounts = [
        {
            "id": row["id"],
            "name": row["name"],
            "product_instances": counts.get(row["id"], 0),
            "licenses": [
                {
                    "tag": one.tag,
                    "display_name": one.display_name,
                    "purchased": one.purchased,
                    "reserved": one.reserved,
                    "used_elsewhere": one.used_elsewhere,
                    "used_here": one.used_here,
                    "status": "In Compliance" if one.covered else "Out Of Compliance",
                }
                for one in account_figures(database, row["id"]).values()
            ],
        }
        for row in database.execute("SELECT * FROM local_account ORDER BY id").fetchall()
    ]
    tokens = [
        {
            "id": row["id"],
            "virtual_account": row["name"],
            "description": row["description"],
            "expires_at": _time(row["expires_at"]),
            "uses_left": row["uses_left"],
            "revoked": row["revoked_at"] is not None,
        }
        for row in database.execute(
            "SELECT t.*, a.name FROM token t JOIN local_account a ON a.id = t.account_id ORDER BY t.id"
        )
    ]
    marked = [msgspec.json.decode(row["facts"]) for row in database.execute("SELECT facts FROM marked ORDER BY id")]
    providers = [
        {"provider": row["name"], "enabled": bool(row["enabled"])}
        for row in database.execute("SELECT * FROM provider ORDER BY name")
    ]
    return {
        "product_instances": sum(counts.values()),
        "virtual_accounts": accounts,
        "tokens": tokens,
        "third_party_providers": providers,
        "waiting": {
            "conversions": _count(database, "SELECT COUNT(*) FROM conversion WHERE status = ''"),
            "usage_reports": _count(database, "SELECT COUNT(*) FROM usage_report WHERE status = ''"),
        },
        "marked": marked,
    }


def _count(database: sqlite3.Connection, statement: str) -> int:
    return int(database.execute(statement).fetchone()[0])


def list_instances(site: Site) -> list[dict[str, Any]]:
    """Every product that has registered here, with what it uses."""
    with site.folder.reading() as database:
        rows = database.execute(
            "SELECT i.*, a.name AS account FROM instance i JOIN local_account a ON a.id = i.account_id ORDER BY i.id"
        ).fetchall()
        use: dict[int, dict[str, int]] = {}
        for row in database.execute("SELECT * FROM usage WHERE quantity > 0 ORDER BY id"):
            use.setdefault(row["instance_id"], {})[row["tag"]] = row["quantity"]
    return [
        {
            "id": row["id"],
            "product_instance_identifier": row["piid"],
            "udi": f"{row['udi_pid']}:{row['udi_serial_number']}",
            "virtual_account": row["account"],
            "state": row["state"],
            "tiers": row["tiers"],
            "hostname": row["hostname"],
            "ha_group": row["ha_group"] or None,
            "last_contact_at": _time(row["last_contact_at"]),
            "licenses": use.get(row["id"], {}),
        }
        for row in rows
    ]


def _time(milliseconds: int) -> str | None:
    return stamp(moment(milliseconds)) if milliseconds else None
