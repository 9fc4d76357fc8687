"""When a product does what by itself (WP "License states"). Pure; times are Unix ms.

| what | when |
|---|---|
| authorization request | every 30 days |
| after a failed one | authorized: 23 h; out of compliance: 15 min for 2 h, then 4 h; authorization expired: 1 h |
| renewal | at 180 days; after a failed one every hour until the certificate ends |
| warning of the certificate's end | 60, 30 days before, then weekly, daily in the last week, hourly on the last day |
| message while out of compliance or expired | weekly |
| poll for a conversion or usage reports that are pending | when the server said; after a failure every hour |
| usage reports, where they are asked for | every so many days; after a failure in 23 h |
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from agents.smart_agent.state import Plan, State
from agents.smart_agent.status import AuthorizationState, authorization_state, evaluation_left, is_consuming

MINUTE: Final = 60 * 1000
HOUR: Final = 60 * MINUTE
DAY: Final = 24 * HOUR
WEEK: Final = 7 * DAY
RENEW_RETRY: Final = HOUR
REPORT_RETRY: Final = 23 * HOUR
WARNINGS: Final = (
    60 * DAY,
    *(days * DAY for days in (30, 23, 16, 9)),
    *(days * DAY for days in range(7, 1, -1)),
    *(hours * HOUR for hours in range(24, 0, -1)),
)
"""How long before the certificate's end."""
NAGGING: Final = frozenset({AuthorizationState.OUT_OF_COMPLIANCE, AuthorizationState.AUTHORIZATION_EXPIRED})


class Kind(StrEnum):
    AUTHORIZE = "authorize"
    RENEW = "renew"
    WARN = "warn"
    NAG = "nag"
    POLL = "poll"
    REPORT = "report"
    AUTHORIZATION_ENDS = "authorization_ends"
    IDENTITY_ENDS = "identity_ends"
    EVALUATION_ENDS = "evaluation_ends"


@dataclass(frozen=True, slots=True)
class Due:
    at: int
    kind: Kind


def next_due(state: State, now: int) -> Due | None:
    """What comes first of all that lies ahead or is due; of several at one moment always the same. `state` is settled.

    A fleet asks so often that listing and sorting all of it would cost more than the rest.
    """
    return min(_find_due(state, state.plan, now), key=lambda due: (due.at, due.kind), default=None)


def retry_delay(state: State, now: int) -> int:
    """How long to wait after a failed authorization request."""
    standing = authorization_state(state, now)
    if standing is AuthorizationState.OUT_OF_COMPLIANCE:
        failing = 0 if state.plan.failing_since is None else now - state.plan.failing_since
        return 15 * MINUTE if failing < 2 * HOUR else 4 * HOUR
    return 23 * HOUR if standing is AuthorizationState.AUTHORIZED else HOUR


def _find_due(state: State, plan: Plan, now: int) -> Iterator[Due]:
    identity, authorization = state.identity, state.authorization
    if identity is None:
        if state.evaluation.since is not None and plan.told.get(Kind.EVALUATION_ENDS) is None:
            yield Due(now + evaluation_left(state) * 1000, Kind.EVALUATION_ENDS)
        return
    yield Due(identity.expires_at, Kind.IDENTITY_ENDS)
    planned = identity.renew_at if state.renewal is None else now
    yield Due(plan.renew_at if plan.renew_at is not None else planned, Kind.RENEW)
    warning = _next_warning(identity.expires_at, plan.warned_at)
    if warning is not None:
        yield Due(warning, Kind.WARN)
    if authorization is not None:
        yield Due(plan.authorize_at or authorization.next_at, Kind.AUTHORIZE)
        if plan.told.get(Kind.AUTHORIZATION_ENDS) != authorization.expires_at:
            yield Due(authorization.expires_at, Kind.AUTHORIZATION_ENDS)
    elif is_consuming(state):
        yield Due(plan.authorize_at or now, Kind.AUTHORIZE)
    promised = [one.poll_at for one in (state.conversion, state.rum) if one is not None and one.poll_id is not None]
    if promised:
        yield Due(plan.poll_at if plan.poll_at is not None else min(promised), Kind.POLL)
    if plan.report_every and (is_consuming(state) or state.rum.waiting):
        measured = state.rum.measured_until * 1000 - state.clock_offset if state.rum.measured_until else 0
        planned = (measured or identity.registered_at) + plan.report_every
        yield Due(planned if plan.report_at is None else plan.report_at, Kind.REPORT)
    if authorization_state(state, now) in NAGGING:
        yield Due(now if plan.nagged_at is None else plan.nagged_at + WEEK, Kind.NAG)


def _next_warning(expires_at: int, warned_at: int) -> int | None:
    return next((expires_at - before for before in WARNINGS if expires_at - before > warned_at), None)
