"""A product's key is known to be compromised: it is never certified again, and who bears it is a product no more."""

from datetime import datetime

from django.db import transaction

from cssm.common.actor import Actor
from licensing.models import InstanceKey, ProductInstance
from licensing.services.devices.endings import end_compromised
from licensing.states import ACTIVE_STATES, KeyState
from pki.crypto.public_keys import read_any_public_key
from pki.services import issuing


def block_product_key(*, actor: Actor, text: str, reason: str, now: datetime) -> list[ProductInstance]:
    """Block the key of a certificate, CSR or public key (PEM), and remove the instances that have it.

    Needs OPERATE. Returns the instances removed; their certificates are revoked. Raises `Invalid` for anything else.
    """
    spki = read_any_public_key(text)
    digest = issuing.block_key(actor=actor, spki_der=spki, reason=reason, now=now)
    keys = InstanceKey.objects.filter(public_key_digest=digest, instance__state__in=ACTIVE_STATES)
    removed = []
    for instance in ProductInstance.objects.filter(keys__in=keys.exclude(state=KeyState.RETIRED)).distinct():
        with transaction.atomic():
            if end_compromised(actor=actor, instance=instance, now=now):
                removed.append(instance)
    return removed
