"""A product's usage reports: sent, saved for a person to upload, and acknowledged by the file that comes back."""

from collections.abc import Mapping
from typing import Any

import msgspec

from agents.common.trust import load_certificate, verify_signer
from agents.smart_agent import usage_acknowledgements, usage_reports
from agents.smart_agent.client import SmartAgent, check_use
from agents.smart_agent.errors import UsageError
from agents.smart_agent.export_keys import fetch_signer
from agents.smart_agent.messages import RequestType, Response
from agents.smart_agent.registration import load_root
from agents.smart_agent.state import State, WaitingReport


def report_usage(agent: SmartAgent, use: Mapping[str, int] | None = None, *, seconds: int = 0) -> dict[str, Any]:
    """Report what was used (`{tag: count}`, or what is in use) since the last report, or for the last `seconds`.

    Returns what became of each report that waited; one that was not taken waits on.
    """
    waiting = _measure(agent, use, seconds=seconds, registered=True)
    if not waiting:
        raise UsageError("Nothing is in use, and no report waits.")
    told: dict[str, Any] = {}

    def note(state: State, response: Response) -> None:
        told.update(usage_reports.note_answer(state, response, agent.now()))

    agent.tell(RequestType.RUM_REPORT, usage_reports.usage_data(usage_reports.next_batch(waiting)), note)
    return told


def save_usage(
    agent: SmartAgent, use: Mapping[str, int] | None = None, *, seconds: int = 0
) -> tuple[bytes, dict[str, Any]]:
    """The same as a file for a person to upload. What is in it waits until it is acknowledged, by message or file."""
    waiting = _measure(agent, use, seconds=seconds, registered=False)
    return usage_reports.as_xml(waiting), {"reports": usage_reports.describe(waiting, {})}


def acknowledge_usage(agent: SmartAgent, content: bytes, *, signer: str = "") -> dict[str, Any]:
    """Import the file with which the portal acknowledges reports: what it says is kept waits no more.

    `signer` is the certificate (PEM) that acknowledgements are verified with; empty to use the known one, or to fetch
    it from the server, as for an export key. Returns what became of each report that waited. Raises VerificationFailed
    for a file that proves nothing, or not to this product.
    """
    state, at = agent.peek(), agent.time()
    product = state.product
    if product is None:
        raise UsageError("This product does not know yet who it is: register it first.")
    trusted = signer or state.reservation.signer
    if not trusted and state.identity is None:
        raise UsageError("Give --signer: the certificate that acknowledgements are verified with.")
    trusted = trusted or fetch_signer(agent)
    key = verify_signer(
        load_certificate(trusted, "reservation signing certificate"),
        load_root(state.root or state.reservation.root, at=at),
        at=at,
    )
    statuses = usage_acknowledgements.read_file(content, sudi=product.sudi, signer=key)
    waited: list[WaitingReport] = []

    def note(state: State) -> None:
        waited.extend(state.rum.waiting)
        state.rum = usage_reports.still_waiting(state.rum, statuses)
        state.reservation = msgspec.structs.replace(state.reservation, signer=trusted)

    agent.change(note, registered=False)
    return {"reports": usage_reports.describe(waited, statuses)}


def _measure(
    agent: SmartAgent, use: Mapping[str, int] | None, *, seconds: int, registered: bool
) -> list[WaitingReport]:
    """Everything that waits, with what was used up to now; durable when this returns."""
    check_use(use)
    waiting: list[WaitingReport] = []

    def note(state: State) -> None:
        used = use if use is not None else {one.tag: one.count for one in state.use if one.count}
        state.rum = usage_reports.measure(state, used, agent.load_key, seconds=seconds, now=agent.now())
        waiting.extend(state.rum.waiting)

    agent.change(note, registered=registered)
    return waiting
