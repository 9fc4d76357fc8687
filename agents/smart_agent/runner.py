"""Keeps every schedule of one product: does what is due, remembers what failed, and says so."""

from collections.abc import Callable, Iterator
from typing import Final

import msgspec

from agents.smart_agent.client import SmartAgent
from agents.smart_agent.errors import AgentError, NetworkFailure, Refused
from agents.smart_agent.polling import poll
from agents.smart_agent.schedule import NAGGING, RENEW_RETRY, Due, Kind, list_due, retry_delay
from agents.smart_agent.state import Plan, State
from agents.smart_agent.status import AuthorizationState, authorization_state, format_time
from agents.smart_agent.syslog import Line, Severity

MOST_STEPS: Final = 100
"""More in one moment would be a schedule that does not move on."""


class Runner:
    """`is_reachable(now)` may say that nothing would arrive: what a product learns by trying, without the trying.

    With `keeps_plan` false what is planned is lost with the process.
    """

    def __init__(
        self,
        agent: SmartAgent,
        *,
        is_reachable: Callable[[int], bool] = lambda now: True,
        keeps_plan: bool = True,
    ) -> None:
        self._agent = agent
        self._is_reachable = is_reachable
        self._keeps_plan = keeps_plan
        self._state = agent.peek()
        self._plan = self._state.plan

    @property
    def state(self) -> State:
        """As of the last step."""
        return self._state

    def next_at(self) -> int | None:
        """When something is to be done next, Unix ms; None where nothing ever is."""
        due = self._list_due(self._agent.now())
        return due[0].at if due else None

    def step(self) -> list[Line]:
        """Do all that is due at this moment of the agent's clock."""
        now, lines = self._agent.now(), []
        before, identity = self._plan, self._state.identity
        self._agent.settle(self._state)
        if identity is not None and self._state.identity is None:
            self._plan = Plan()
            lines.append(
                Line(now, Severity.ERROR, "ID_CERT_EXPIRED", "The ID certificate has expired. Register again.")
            )
        for _ in range(MOST_STEPS):
            due = self._list_due(now)
            if not due or due[0].at > now:
                break
            lines += list(self._do(due[0], now))
        if self._keeps_plan and self._plan != before:
            self._agent.remember(self._plan)
        return lines

    def _list_due(self, now: int) -> list[Due]:
        """From memory: reading the folder each time would cost more than all else."""
        self._agent.settle(self._state)
        self._state.plan = self._plan
        return list_due(self._state, now)

    def _change(self, **values: object) -> None:
        self._plan = msgspec.structs.replace(self._plan, **values)

    def _tell(self, kind: Kind, at: int) -> None:
        self._change(told=self._plan.told | {kind.value: at})

    def _do(self, due: Due, now: int) -> Iterator[Line]:
        if due.kind is Kind.AUTHORIZE:
            yield from self._authorize(now)
        elif due.kind is Kind.RENEW:
            yield from self._renew(now)
        elif due.kind is Kind.POLL:
            yield from self._poll(now)
        elif due.kind is Kind.WARN:
            self._change(warned_at=now)
            ends = format_time(self._state.identity.expires_at) if self._state.identity else "-"
            yield Line(now, Severity.WARNING, "ID_CERT_EXPIRED_WARNING", f"The ID certificate expires at {ends}.")
        elif due.kind is Kind.NAG:
            self._change(nagged_at=now)
            yield self._nag(now)
        elif due.kind is Kind.AUTHORIZATION_ENDS:
            self._tell(due.kind, due.at)
            yield Line(now, Severity.ERROR, "AUTH_EXPIRED", "No authorization for 90 days: the licenses are expired.")
        elif due.kind is Kind.EVALUATION_ENDS:
            self._tell(due.kind, due.at)
            yield Line(now, Severity.WARNING, "EVAL_EXPIRED", "The evaluation period has ended.")

    def _authorize(self, now: int) -> Iterator[Line]:
        before = authorization_state(self._state, now)
        error = self._attempt(self._agent.authorize, now)
        if error is not None:
            since = self._plan.failing_since if self._plan.failing_since is not None else now
            self._change(failing_since=since)
            self._state.plan = self._plan
            self._change(authorize_at=now + max(retry_delay(self._state, now), _asked_to_wait(error)))
            yield Line(now, Severity.ERROR, "AUTH_RENEW_FAILED", f"Authorization failed: {error.code}: {error}")
            return
        self._change(failing_since=None, authorize_at=None)
        yield Line(now, Severity.INFO, "AUTH_RENEW_SUCCESS", "Authorization was renewed.")
        after = authorization_state(self._state, now)
        if after not in NAGGING:
            self._change(nagged_at=None)
        if after is not before and after is AuthorizationState.AUTHORIZED:
            yield Line(now, Severity.NOTICE, "IN_COMPLIANCE", "All licenses in use are authorized.")

    def _renew(self, now: int) -> Iterator[Line]:
        error = self._attempt(self._agent.renew, now)
        if error is not None:
            self._change(renew_at=now + max(RENEW_RETRY, _asked_to_wait(error)))
            text = f"Renewal of the ID certificate failed: {error.code}: {error}"
            yield Line(now, Severity.ERROR, "ID_CERT_RENEW_FAILED", text)
            return
        self._change(renew_at=None, warned_at=now)
        yield Line(now, Severity.NOTICE, "ID_CERT_RENEW_SUCCESS", "The ID certificate was renewed.")

    def _poll(self, now: int) -> Iterator[Line]:
        before = self._state.conversion
        converting = before is not None and before.poll_id is not None
        reporting = self._state.rum.poll_id is not None
        error = self._attempt(lambda: poll(self._agent), now)
        if error is not None:
            self._change(poll_at=now + max(RENEW_RETRY, _asked_to_wait(error)))
            yield Line(now, Severity.ERROR, "POLL_FAILED", f"Polling failed: {error.code}: {error}")
            return
        self._change(poll_at=None)
        known = self._state.conversion
        if converting and known is not None and known.poll_id is None:
            severity = Severity.NOTICE if known.status == "COMPLETED" else Severity.ERROR
            yield Line(now, severity, f"CONVERSION_{known.status}", known.message or "The licenses are converted.")
        if reporting and self._state.rum.poll_id is None:
            left = len(self._state.rum.waiting)
            severity, text = (Severity.ERROR, f"{left} wait on.") if left else (Severity.INFO, "All were taken.")
            yield Line(now, severity, "RUM_ACKNOWLEDGED", f"Usage reports were answered. {text}")

    def _attempt(self, act: Callable[[], object], now: int) -> AgentError | None:
        """Why it failed, or None; what is known is read anew afterwards."""
        if not self._is_reachable(now):
            return NetworkFailure("No answer.")
        error: AgentError | None = None
        try:
            act()
        except AgentError as failure:
            error = failure
        self._state = self._agent.peek()
        identity = self._state.identity
        if identity is not None and self._state.renewal is None and identity.renew_at > now:
            self._change(renew_at=None)  # another request has ended a renewal that waited for its last answer
        return error

    def _nag(self, now: int) -> Line:
        if authorization_state(self._state, now) is AuthorizationState.OUT_OF_COMPLIANCE:
            return Line(now, Severity.ERROR, "OUT_OF_COMPLIANCE", "Licenses in use are out of compliance.")
        return Line(now, Severity.ERROR, "AUTH_EXPIRED", "The authorization of the licenses in use has expired.")


def _asked_to_wait(error: AgentError) -> int:
    return error.retry_seconds * 1000 if isinstance(error, Refused) else 0
