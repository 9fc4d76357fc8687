"""The append-only event log: recording, sealing, verifying, erasing what is personal in it."""

from accounts.services.events.recording import (
    erase_personal_values,
    record_event,
    record_events,
    record_selected_events,
)
from accounts.services.events.sealing import LogReport, seal_events, verify_log

__all__ = [
    "LogReport",
    "erase_personal_values",
    "record_event",
    "record_events",
    "record_selected_events",
    "seal_events",
    "verify_log",
]
