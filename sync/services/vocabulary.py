"""The names of events about on-prem servers, and how they read."""

from typing import Final

from accounts.states import register_events
from cssm.common.text import mark

SYNC_EVENTS: Final[dict[str, str]] = {
    "onprem.registered": mark('The on-prem server "{server}" ({uuid}) was registered.'),
    "onprem.registered_again": mark('The on-prem server "{server}" was given a new authorization file.'),
    "onprem.registered_anew": mark(
        'The on-prem server "{server}" was registered anew: its earlier certificates were revoked.'
    ),
    "onprem.synchronized": mark(
        'The on-prem server "{server}" synchronized ({what}): {added} product instances added, {removed} removed,'
        " {changed} changed."
    ),
    "onprem.account_linked": mark(
        'The Virtual Account "{local}" of the on-prem server "{server}" is linked to "{name}".'
    ),
    "onprem.renamed": mark('The on-prem server "{server}" was renamed to "{name}".'),
    "onprem.removed": mark('The on-prem server "{server}" was removed with {instances} product instances.'),
    "onprem.expired": mark(
        'The on-prem server "{server}" was removed with {instances} product instances: it had not synchronized for 90'
        " days."
    ),
    "onprem.three_tier_released": mark('The 3-tier certificate of "{server}" is signed early: {reason}'),
    "onprem.three_tier_held": mark('The 3-tier certificate of "{server}" is held: {reason}'),
    "onprem.three_tier_signed": mark('The 3-tier certificate of "{server}" was signed.'),
}


def register_sync_events() -> None:
    """Called once, when the app is ready."""
    register_events(SYNC_EVENTS)
