"""Keeps every schedule of one product: does what is due, remembers what failed, and says so."""

from collections.abc import Callable, Iterator
from typing import Any, Final

import msgspec

from agents.smart_agent.client import SmartAgent
from agents.smart_agent.errors import AgentError, NetworkFailure, Refused
from agents.smart_agent.polling import poll
from agents.smart_agent.schedule import NAGGING, RENEW_RETRY, REPORT_RETRY, Due, Kind, next_due, retry_delay
from agents.smart_agent.state import Plan, State
from agents.smart_agent.status import AuthorizationState, authorization_state, format_time
from agents.smart_agent.syslog import Line, Severity
from agents.smart_agent.usage import report_usage
from agents.smart_agent.usage_reports import KEPT, WAITING

MOST_STEPS: Final = 100
"""More in one moment would be a schedule that does not move on."""


class Runner:
    """`is_reachable(now)` may say that nothing would arrive: what a product learns by trying, without the trying.

    With `keeps_plan` false what is planned is lost with the process. Usage is reported every `report_every` ms, with 0
    never, with None as before.
    """

    def __init__(
        self,
        agent: SmartAgent,
        *,
        is_reachable: Callable[[int], bool] = lambda now: True,
        keeps_plan: bool = True,
        report_every: int | None = None,
    ) -> None:
        self._agent = agent
        self._is_reachable = is_reachable
        self._keeps_plan = keeps_plan
        self._state = agent.peek()
        self._plan = self._kept = self._state.plan
        if report_every is not None:
            self._change(report_every=report_every, report_at=None)

    @property
    def state(self) -> State:
        """As of the last step."""
        return self._state

    def next_at(self) -> int | None:
        """When something is to be done next, Unix ms; None where nothing ever is."""
        due = self._next_due(self._agent.now())
        return due.at if due else None

    def refresh(self) -> None:
        """Take notice of what other commands have done to the product meanwhile."""
        self._state = self._agent.peek()

    def step(self) -> list[Line]:
        """Do all that is due at this moment of the agent's clock."""
        now, lines = self._agent.now(), []
        identity = self._state.identity
        self._agent.settle(self._state)
        if identity is not None and self._state.identity is None:
            self._plan = Plan(report_every=self._plan.report_every)
            lines.append(
                Line(now, Severity.ERROR, "ID_CERT_EXPIRED", "The ID certificate has expired. Register again.")
            )
        for _ in range(MOST_STEPS):
            due = self._next_due(now)
            if due is None or due.at > now:
                break
            lines += list(self._do(due, now))
        if self._keeps_plan and self._plan != self._kept:
            self._agent.remember(self._plan)
            self._kept = self._plan
        return lines

    def _next_due(self, now: int) -> Due | None:
        """From memory: reading the folder each time would cost more than all else."""
        self._agent.settle(self._state)
        self._state.plan = self._plan
        return next_due(self._state, now)

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
        elif due.kind is Kind.REPORT:
            yield from self._report(now)
        elif due.kind is Kind.WARN:
            self._change(warned_at=now)
            ends = format_time(self._state.identity.expires_at) if self._state.identity else "-"
            yield Line(now, Severity.WARNING, "ID_CERT_EXPIRED_WARNING", f"The ID certificate expires at {ends}.")
        elif due.kind is Kind.NAG:
            self._change(nagged_at=now)
            yield self._nag(now)
        elif due.kind is Kind.AUTHORIZATION_ENDS:
            self._tell(due.kind, due.at)
            self._change(nagged_at=now)
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
        if after not in NAGGING or after is not before:
            self._change(nagged_at=None)  # what is new is said at once
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

    def _report(self, now: int) -> Iterator[Line]:
        told: list[dict[str, Any]] = []
        error = self._attempt(lambda: told.extend(report_usage(self._agent)["reports"]), now)
        if error is not None:
            # A server that takes no reports is asked as rarely as if it did.
            pause = self._plan.report_every if error.code == "UNSUPPORTED_REQUEST" else REPORT_RETRY
            self._change(report_at=now + max(pause, _asked_to_wait(error)))
            text = f"Usage could not be reported: {error.code}: {error}"
            yield Line(now, Severity.ERROR, "USAGE_REPORT_FAILED", text)
            return
        self._change(report_at=None)
        kept = sum(one["status"] in KEPT for one in told)
        yield Line(now, Severity.INFO, "USAGE_REPORT_SUCCESS", f"Usage was reported; acknowledged: {kept}.")
        for one in told:
            if one["status"] not in KEPT | {WAITING}:
                text = f"The usage report {one['report_id']} of {one['tag']} is not accepted: {one['status']}"
                yield Line(now, Severity.ERROR, "USAGE_REPORT_REFUSED", text)

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
