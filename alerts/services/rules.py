"""What the apps above tell alerts: sources of records, and what each record means for an alert.

An app above registers its sources in `AppConfig.ready()`; alerts knows nothing of their tables.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from alerts.models import Alert
from alerts.states import AlertAction, AlertType

Params = Mapping[str, str | int]


@dataclass(frozen=True, slots=True)
class AlertChange:
    """What happened to one cause ("pool:17"), unique within its Smart Account and alert type.

    `params` are what the sentence of the type needs (`alerts.services.texts`), `source` what people call the thing,
    `path` the page that shows it, from the first slash on. `at` is when it happened, not when it was noticed.
    """

    action: AlertAction
    alert_type: AlertType
    cause: str
    smart_account_id: int
    at: datetime
    virtual_account_id: int | None = None
    params: Params = field(default_factory=dict)
    source: str = ""
    path: str = ""
    action_due: datetime | None = None


@dataclass(frozen=True, slots=True)
class Source:
    """Undispatched records of one kind, oldest first.

    `fetch(limit)` reads and locks them (SKIP LOCKED where the database can), `mark(rows, now)` marks them dispatched;
    both run inside the dispatcher's transaction. `to_changes(row)` says what a record means; none is fine.
    `present(causes, now)`, where given, answers with the params of this moment of those causes that still hold: what is
    missing has recovered. It keeps the figures in mails and on pages equal to those on every other screen.
    """

    name: str
    alert_types: frozenset[AlertType]
    fetch: Callable[[int], Sequence[Any]]
    to_changes: Callable[[Any], Iterable[AlertChange]]
    mark: Callable[[Sequence[Any], datetime], None]
    present: Callable[[Collection[str], datetime], Mapping[str, Params]] | None = None


_sources: Final[dict[str, Source]] = {}


def register_source(source: Source) -> None:
    """Add a source. A name, and each alert type, has one source; a second is a programmer's error (ValueError)."""
    taken = source.alert_types & frozenset(offered_types())
    if source.name in _sources or taken:
        raise ValueError(f"The source {source.name} is registered twice, or its types are: {sorted(taken)}")
    _sources[source.name] = source


def registered_sources() -> list[Source]:
    return list(_sources.values())


def offered_types() -> list[AlertType]:
    """The alert types that something can raise in this installation, in the order of the vocabulary."""
    raised = {alert_type for source in _sources.values() for alert_type in source.alert_types}
    return [alert_type for alert_type in AlertType if alert_type in raised]


def present_params(alerts: Iterable[Alert], *, now: datetime) -> dict[int, Params | None]:
    """By alert's primary key: the params as of now, None where the cause no longer holds."""
    params: dict[int, Params | None] = {}
    by_source: dict[str, list[Alert]] = {}
    for alert in alerts:
        params[alert.pk] = alert.params
        for source in _sources.values():
            if source.present is not None and alert.kind in source.alert_types and alert.cleared_at is None:
                by_source.setdefault(source.name, []).append(alert)
    for name, standing in by_source.items():
        ask = _sources[name].present
        assert ask is not None  # noqa: S101  only sources that can be asked were collected
        answers = ask([alert.cause for alert in standing], now)
        params.update({alert.pk: answers.get(alert.cause) for alert in standing})
    return params
