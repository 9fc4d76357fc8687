"""How far an open exchange is, read from its row alone: whoever works on it, and however often that began anew."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sync.models import Exchange
from sync.services.imports import HOLD_WHILE_APPLYING
from sync.states import ExchangeState

APPLYING_SHARE: Final = 1.0
"""Applying takes about as long as reading; an estimate is all that is promised."""
_ENOUGH: Final = timedelta(seconds=2)


@dataclass(frozen=True, slots=True)
class Progress:
    """`time_left` is None where nothing can be said, yet or any more; `ahead` counts earlier open files."""

    state: ExchangeState
    bytes_read: int
    bytes_total: int
    rows: int
    ahead: int
    attempts: int
    time_left: timedelta | None
    may_cancel: bool


def measure_progress(exchange: Exchange, *, now: datetime) -> Progress:
    state = ExchangeState(exchange.state)
    earlier = Exchange.objects.open().filter(server=exchange.server_id, pk__lt=exchange.pk)
    return Progress(
        state=state,
        bytes_read=exchange.bytes_read,
        bytes_total=exchange.content_length,
        rows=exchange.rows_staged,
        ahead=earlier.count() if state is ExchangeState.WAITING else 0,
        attempts=exchange.attempts,
        time_left=_time_left(exchange, state, now),
        may_cancel=state in {ExchangeState.WAITING, ExchangeState.STAGING} and exchange.cancel_requested_at is None,
    )


def _time_left(exchange: Exchange, state: ExchangeState, now: datetime) -> timedelta | None:
    if exchange.started_at is None:
        return None
    spent = now - exchange.started_at
    if state is ExchangeState.STAGING and exchange.bytes_read and spent >= _ENOUGH:
        reading = spent * (exchange.content_length / exchange.bytes_read)
        return max(timedelta(0), reading * (1 + APPLYING_SHARE) - spent)
    if state is ExchangeState.APPLYING and exchange.held_until is not None:
        began = exchange.held_until - HOLD_WHILE_APPLYING
        left = (began - exchange.started_at) * APPLYING_SHARE - (now - began)
        return left if left > timedelta(0) else None
    return None
