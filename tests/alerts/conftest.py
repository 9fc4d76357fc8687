"""A source of shortages that the tests control, and what they say about it."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import pytest

from accounts.models import SmartAccount, User, VirtualAccount
from accounts.services.actors import actor_for_user
from alerts.models import Alert, Subscription
from alerts.services import rules
from alerts.services.dispatch import dispatch
from alerts.services.rules import AlertChange, Params, Source
from alerts.services.subscriptions import choose_notifications
from alerts.states import AlertAction, AlertType, Frequency
from tests.conftest import NOW

SHORTAGE = AlertType.INSUFFICIENT_LICENSES


@dataclass
class Shortages:
    """Records that were not dispatched yet, and the causes that hold at this moment."""

    rows: list[AlertChange] = field(default_factory=list)
    dispatched: list[AlertChange] = field(default_factory=list)
    present: dict[str, Params] | None = None

    def fetch(self, limit: int) -> Sequence[AlertChange]:
        return self.rows[:limit]

    def to_changes(self, row: AlertChange) -> Iterable[AlertChange]:
        return [row]

    def mark(self, rows: Sequence[AlertChange], now: datetime) -> None:
        self.rows = self.rows[len(rows) :]
        self.dispatched.extend(rows)

    def ask(self, causes: Collection[str], now: datetime) -> Mapping[str, Params]:
        assert self.present is not None
        return {cause: self.present[cause] for cause in causes if cause in self.present}

    def source(self, **options: Any) -> Source:
        return Source("shortages", frozenset({SHORTAGE}), self.fetch, self.to_changes, self.mark, **options)

    def answer_with(self, present: dict[str, Params]) -> None:
        """From now on the source can be asked which causes hold, and answers with these."""
        self.present = present
        rules._sources.clear()
        rules.register_source(self.source(present=self.ask))


@pytest.fixture
def shortages(monkeypatch: pytest.MonkeyPatch) -> Shortages:
    """The only source there is."""
    monkeypatch.setattr(rules, "_sources", {})
    made = Shortages()
    rules.register_source(made.source())
    return made


def change(virtual_account: VirtualAccount, action: AlertAction = AlertAction.RAISE, **values: Any) -> AlertChange:
    """Something that happened to the pool of C9300 Advantage in a Virtual Account."""
    params = {"license": "C9300 Advantage", "tag": "regid.example", "shortage": 3, **values.pop("params", {})}
    defaults: dict[str, Any] = {
        "alert_type": SHORTAGE,
        "cause": "pool:17",
        "smart_account_id": virtual_account.smart_account_id,
        "virtual_account_id": virtual_account.pk,
        "params": params,
        "source": params["license"],
        "path": "/accounts/acme.example/inventory/Engineering/licenses/",
        "at": NOW - timedelta(seconds=2),
    }
    return AlertChange(action=action, **{**defaults, **values})


@pytest.fixture
def happen(shortages: Shortages) -> Callable[..., Alert]:
    """Record what happened to a pool and dispatch it; returns the newest alert."""

    def _happen(virtual_account: VirtualAccount, action: AlertAction = AlertAction.RAISE, **values: Any) -> Alert:
        shortages.rows.append(change(virtual_account, action, **values))
        dispatch(now=NOW)
        return Alert.objects.latest("pk")

    return _happen


@pytest.fixture
def subscribe(shortages: Shortages) -> Callable[..., None]:
    """Let a person choose to be told of shortages, in one Virtual Account or everywhere in the Smart Account."""

    def _subscribe(
        user: User, place: VirtualAccount | SmartAccount, frequency: Frequency | None = Frequency.IMMEDIATE
    ) -> None:
        account = place if isinstance(place, SmartAccount) else place.smart_account
        key = None if isinstance(place, SmartAccount) else place.pk
        choose_notifications(
            actor=actor_for_user(user), smart_account=account, choices={(key, SHORTAGE): frequency}, now=NOW
        )

    return _subscribe


@pytest.fixture
def force_subscription(shortages: Shortages) -> Callable[[User, SmartAccount], Subscription]:
    """A row that no service would write: a stranger who is subscribed all the same."""

    def _force(user: User, account: SmartAccount) -> Subscription:
        return Subscription.objects.create(
            recipient=f"user:{user.pk}",
            user=user,
            smart_account=account,
            alert_type=SHORTAGE,
            frequency=Frequency.IMMEDIATE,
            changed_at=NOW,
        )

    return _force
