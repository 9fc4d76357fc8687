"""Network synchronization daily, weekly or monthly: the next time is a row, so that no restart loses it."""

from calendar import monthrange
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec

from agents.common.errors import AgentError, UsageError
from agents.onprem.server import Schedule, Site, find_server, load_server, moment, save_server

RETRY_MS: Final = 60 * 60 * 1000
SPANS: Final = ("daily", "weekly", "monthly")


def following(every: str, due: datetime) -> datetime:
    """The time after `due`; monthly keeps to the day, or to the last one of a shorter month."""
    if every == "daily":
        return due + timedelta(days=1)
    if every == "weekly":
        return due + timedelta(days=7)
    year, month = divmod(due.year * 12 + due.month, 12)
    return due.replace(year=year, month=month + 1, day=min(due.day, monthrange(year, month + 1)[1]))


def first(minute: int, now: datetime) -> datetime:
    """The next time of this minute of the day (UTC) after `now`."""
    start = now.astimezone(UTC).replace(hour=minute // 60, minute=minute % 60, second=0, microsecond=0)
    return start if start > now else start + timedelta(days=1)


def set_schedule(site: Site, *, every: str, minute: int, url: str | None) -> dict[str, Any]:
    """Synchronize `every` span (`off` ends it) at a minute of the day. Raises UsageError without a portal's URL."""
    with site.folder.writing() as database:
        server = load_server(database)
        server.portal_url = url or server.portal_url
        if every == "off":
            server.schedule = None
        elif not server.portal_url:
            raise UsageError("A schedule needs the portal's address: --url.")
        else:
            due = first(minute, site.clock())
            server.schedule = Schedule(every=every, minute=minute, due_at=int(due.timestamp() * 1000))
        save_server(database, server)
    return {"url": server.portal_url, "schedule": msgspec.to_builtins(server.schedule)}


def due_at(site: Site) -> int | None:
    """When the next synchronization is due (Unix ms), or None."""
    if not site.folder.exists:
        return None
    with site.folder.reading() as database:
        server = find_server(database)
    return server.schedule.due_at if server is not None and server.schedule is not None else None


def run_due(site: Site, synchronize: Callable[[], dict[str, Any]]) -> dict[str, Any] | None:
    """Synchronize if it is time; what fails is tried again every hour. None where nothing was due."""
    due = due_at(site)
    if due is None or site.now() < due:
        return None
    error: AgentError | None = None
    outcome: dict[str, Any] = {}
    try:
        outcome = synchronize()
    except AgentError as caught:
        error = caught
    with site.folder.writing() as database:
        server = load_server(database)
        if server.schedule is not None:
            server.schedule = _after(server.schedule, site.now(), error)
            save_server(database, server)
    return outcome if error is None else {"error_code": error.code, "message": str(error)}


def _after(schedule: Schedule, now: int, error: AgentError | None) -> Schedule:
    if error is not None:
        return msgspec.structs.replace(
            schedule, due_at=now + RETRY_MS, failures=schedule.failures + 1, last_error=f"{error.code}: {error}"
        )
    regular = moment(schedule.due_at) if not schedule.failures else _regular(schedule, moment(now))
    while int(regular.timestamp() * 1000) <= now:
        regular = following(schedule.every, regular)
    return msgspec.structs.replace(schedule, due_at=int(regular.timestamp() * 1000), failures=0, last_error="")


def _regular(schedule: Schedule, now: datetime) -> datetime:
    """Back to the minute of the day that was chosen, after retries at other times."""
    return first(schedule.minute, now - timedelta(days=1))
