"""The one place that asks what time it is. Views, tasks and commands call it and hand `now` down."""

from datetime import UTC, datetime


def read_clock() -> datetime:
    """Now, aware, in UTC."""
    return datetime.now(tz=UTC)


def to_milliseconds(moment: datetime) -> int:
    """Unix time in whole milliseconds."""
    return int(moment.timestamp() * 1000)


def show_moment(moment: datetime | None) -> str | None:
    """ISO 8601 in UTC to the second, as the API and the files show times."""
    return None if moment is None else moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
