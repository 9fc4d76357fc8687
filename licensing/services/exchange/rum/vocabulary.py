"""The names of events about usage reports, and how they read."""

from typing import Final

from accounts.states import register_events
from cssm.common.text import mark

RUM_EVENTS: Final[dict[str, str]] = {
    "rum.received": mark("{udi} reported its use: {count} new usage reports, {verified} of them verified."),
    "rum.uploaded": mark('"{file}" was handed in: {count} new usage reports, {verified} of them verified.'),
}


def register_rum_events() -> None:
    """Called once, when the app is ready."""
    register_events(RUM_EVENTS)
