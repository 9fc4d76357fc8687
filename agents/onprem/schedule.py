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
STEPS: Final = {"daily": timedelta(days=1), "weekly": timedelta(days=7)}


def following(every: str, start: datetime, after: datetime) -> datetime:
    """The first time later than `after` in the row that begins at `start`: on the same weekday or day of the month each
    time; a shorter month has its last day instead."""
    if start > after:
        return start
    if every in STEPS:
        return start + ((after - start) // STEPS[every] + 1) * STEPS[every]
    months = (after.year - start.year) * 12 + after.month - start.month
    due = _add_months(start, months)
    return due if due > after else _add_months(start, months + 1)


def _add_months(start: datetime, count: int) -> datetime:
    year, month = divmod(start.year * 12 + start.month - 1 + count, 12)
    return start.replace(year=year, month=month + 1, day=min(start.day, monthrange(year, month + 1)[1]))


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
            due = int(first(minute, site.clock()).timestamp() * 1000)
            server.schedule = Schedule(every=every, minute=minute, due_at=due, start_at=due)
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
    start = moment(schedule.start_at or schedule.due_at)
    due = int(following(schedule.every, start, moment(now)).timestamp() * 1000)
    return msgspec.structs.replace(
        schedule, due_at=due, start_at=int(start.timestamp() * 1000), failures=0, last_error=""
    )
