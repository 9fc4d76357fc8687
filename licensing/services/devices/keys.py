"""The keys of one instance through its renewals: pending, current, previous, retired (domain: Renewal).

Whoever calls these has accepted a message of the instance in the same transaction, so no two run at once.
"""

from datetime import datetime, timedelta
from typing import Final

from django.db.models.functions import Least

from licensing.models import InstanceKey
from licensing.services.devices.answers import Contended
from licensing.states import KeyState

OLD_KEY_GRACE: Final = timedelta(days=7)
"""How long the key before stays good where the product has acknowledged the new one and has said nothing else since:
the final ACK may be lost, and then it knows nothing but its old key."""


def discard_pending(*, instance_id: int) -> None:
    """Give up a renewal that nobody has acknowledged; its key is good for nothing any more."""
    pending = InstanceKey.objects.filter(instance=instance_id, state=KeyState.PENDING)
    pending.update(state=KeyState.RETIRED)


def confirm_key(*, instance_id: int, key_id: int, now: datetime) -> None:
    """The pending key has signed a message: it is the instance's key now, the one before stays for a while.

    Raises `Contended` where it is not pending any more.
    """
    keys = InstanceKey.objects.filter(instance=instance_id)
    until = now + OLD_KEY_GRACE
    keys.filter(state=KeyState.PREVIOUS).update(accepted_until=Least("accepted_until", until))
    keys.filter(state=KeyState.CURRENT).update(state=KeyState.PREVIOUS, accepted_until=Least("not_after", until))
    if keys.filter(pk=key_id, state=KeyState.PENDING).update(state=KeyState.CURRENT) != 1:
        raise Contended


def retire_previous(*, instance_id: int) -> None:
    """The product works with its current key: those before it are over."""
    InstanceKey.objects.filter(instance=instance_id, state=KeyState.PREVIOUS).update(state=KeyState.RETIRED)
