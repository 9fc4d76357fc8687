"""The names of events about tokens and product instances, and how they read."""

from typing import Final

from accounts.states import register_events
from cssm.common.text import mark

DEVICE_EVENTS: Final[dict[str, str]] = {
    "token.created": mark('The ID token "{description}" was created: {terms}.'),
    "token.revoked": mark('The ID token "{description}" was revoked.'),
    "instance.registered": mark("{udi} was registered as {piid}."),
    "instance.acknowledged": mark("{udi} acknowledged its registration."),
    "instance.renewal_started": mark("{udi} was given new certificates, valid until {not_after}."),
    "instance.renewed": mark("{udi} acknowledged its renewal."),
    "instance.replaced": mark("{udi} registered again: its earlier registration {piid} was removed."),
    "instance.deregistered": mark("{udi} was deregistered."),
    "instance.expired": mark("{udi} did not renew its registration and was removed."),
    "instance.claim_gained": mark("{udi} is counted here from now on: it was silent elsewhere for 90 days."),
    "instance.key_blocked": mark("{udi} was removed: its key is known to be compromised."),
    "instance.removed": mark("{udi} was removed."),
    "instance.transferred": mark("{udi} was transferred from {source} to {target} with {use}."),
    "instance.details_changed": mark("{udi} reported another {changed}."),
    "instance.ha_joined": mark("{udi} joined the high-availability group of {peers}: their use counts once."),
    "instance.ha_left": mark("{udi} left its high-availability group: its use counts by itself."),
    "instance.ha_relieved": mark("{udi} stands by in its high-availability group: another member reports the use."),
    "instance.ha_promoted": mark(
        "{udi} reports the use of its high-availability group from now on, in place of the member that did."
    ),
    "instance.claim_regained": mark(
        "{udi} is known here again: it was silent elsewhere for 90 days. Another member of its high-availability group"
        " reports the use."
    ),
    "instance.claim_lost": mark("{udi} is no longer counted here: it was silent for 90 days and registered anew."),
    "instance.synchronized_in": mark("{udi} was reported by {server}."),
    "instance.synchronized_out": mark("{udi} is no longer registered to {server}."),
    "instance.moved_by_server": mark("{udi} was moved to another Virtual Account by {server}."),
    "instance.endpoints_changed": mark("{udi} sees {seen} endpoints that use licenses; {counted} of them count here."),
    "third_party.key_given": mark("{udi} was given the key {key} of {provider}."),
    "license.usage_changed": mark("{udi} uses {after} of {license}, before {before}."),
    "license.usage_refused": mark("{udi} asked for {after} of {tag}, which is not counted: {reason}."),
}


def register_device_events() -> None:
    """Called once, when the app is ready."""
    register_events(DEVICE_EVENTS)
