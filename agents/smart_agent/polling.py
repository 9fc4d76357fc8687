"""Asking for what was promised (OK_POLL): the result of a conversion, what became of usage reports."""

import argparse
from collections.abc import Callable
from typing import Any

import msgspec

from agents.smart_agent import conversions
from agents.smart_agent.client import SmartAgent
from agents.smart_agent.errors import Refused, UsageError
from agents.smart_agent.messages import RequestType, Response
from agents.smart_agent.state import State
from agents.smart_agent.usage_reports import note_answer

Add = Callable[[str, Callable[..., dict[str, Any]], str], argparse.ArgumentParser]


def poll(agent: SmartAgent) -> dict[str, Any]:
    """Ask for everything that is pending. Returns the status, `polled` with what was asked about, and what became of
    usage reports in `reports`."""
    state = agent.peek()
    outcome: dict[str, Any] = {}
    polled: list[str] = []
    if state.conversion is not None and state.conversion.poll_id is not None:
        outcome = conversions.poll(agent)
        polled.append("conversion")
    if state.rum.poll_id is not None:
        outcome |= _poll_usage(agent, state.rum.poll_id)
        polled.append("usage_reports")
    if not polled:
        raise UsageError("Nothing is pending.")
    return outcome | {"polled": polled}


def add_poll_command(add: Add) -> None:
    add(
        "poll",
        lambda agent, _: poll(agent),
        "Ask what became of a conversion or usage reports that are pending.",
    )


def _poll_usage(agent: SmartAgent, poll_id: int) -> dict[str, Any]:
    told: dict[str, Any] = {}

    def note(state: State, response: Response) -> None:
        told.update(note_answer(state, response, agent.now()))

    def forget(state: State) -> None:
        state.rum = msgspec.structs.replace(state.rum, poll_id=None)

    try:
        return agent.tell(RequestType.POLL, {"poll_id": poll_id}, note) | told
    except Refused as refusal:
        if refusal.code == "POLL_UNKNOWN" and refusal.signed:
            agent.change(forget)  # the reports wait on, to be sent again
        raise
