"""One UDI counts once: which Smart Account owns a UDI in this installation."""

from datetime import datetime, timedelta
from typing import Final

from django.db import connection

from cssm.common.compiled import CompiledModels
from cssm.common.statements import prepared_cursor
from licensing.codecs.refusals import Refusal, RefusalCode
from licensing.models import UdiClaim
from licensing.services.devices.answers import Contended

SILENCE_RELEASES: Final = timedelta(days=90)

_CLAIM: Final = (
    "INSERT INTO licensing_udiclaim (udi, smart_account_id, last_contact_at) VALUES (%s, %s, %s)"
    " ON CONFLICT DO NOTHING RETURNING id"
)
CLAIMS: Final = CompiledModels(lambda: UdiClaim.objects.select_related("instance__contact").filter(udi=""))
_LOCKED: Final = CompiledModels(
    lambda: UdiClaim.objects.select_for_update(of=("self",)).select_related("instance__contact").filter(udi="")
)


def find_claim(udi: str) -> UdiClaim | None:
    """The claim on the UDI with its instance and that one's contact, if anyone has it."""
    return CLAIMS.first(udi)


def take_claim(*, udi: str, smart_account_id: int, now: datetime) -> UdiClaim:
    """The claim, locked until the caller's transaction ends; made where there was none. Raises `Refusal` as below.

    Two that register the same UDI at once wait for each other here: the unique index orders them.
    """
    with prepared_cursor() as cursor:
        cursor.execute(_CLAIM, [udi, smart_account_id, connection.ops.adapt_datetimefield_value(now)])
        made = cursor.fetchone()
    if made is not None:  # until it is committed, nobody else can have it
        return UdiClaim(pk=made[0], udi=udi, smart_account_id=smart_account_id, last_contact_at=now)
    claim = _LOCKED.first(udi)
    if claim is None:
        raise Contended  # whoever held it released it while we waited
    refuse_foreign_claim(claim, smart_account_id=smart_account_id, now=now)
    return claim


def refuse_foreign_claim(claim: UdiClaim, *, smart_account_id: int, now: datetime) -> None:
    """Raises `Refusal` where another Smart Account holds it; after 90 days without contact it holds nothing.

    A reserved product never speaks, and its silence says nothing.
    """
    if claim.smart_account_id == smart_account_id:
        return
    if not is_reserved(claim) and _last_contact(claim) < now - SILENCE_RELEASES:
        return
    raise Refusal(
        RefusalCode.UDI_REGISTERED_ELSEWHERE,
        f"{claim.udi} is registered in another Smart Account. Deregister it there first, or ask the operator.",
        where="$.header.sudi",
    )


def is_reserved(claim: UdiClaim) -> bool:
    """Whether the product holds a reservation or an export key."""
    return claim.instance is not None and claim.instance.is_bound


def refuse_reserved(claim: UdiClaim) -> None:
    """Raises `Refusal` (UDI_RESERVED): a product with a reservation is not replaced by registering it.

    Nor is one with an export key: whoever registers in its place need not be the product that has the key.
    """
    if is_reserved(claim):
        held = "an export authorization key" if _holds_key(claim) else "a license reservation"
        raise Refusal(RefusalCode.UDI_RESERVED, f"{claim.udi} holds {held}. Return that first.", where="$.header.sudi")


def _holds_key(claim: UdiClaim) -> bool:
    return claim.instance is not None and claim.instance.holds_export_key


def _last_contact(claim: UdiClaim) -> datetime:
    """Messages do not write the claim, so the instance's own receipt may know better."""
    contact = None if claim.instance is None else getattr(claim.instance, "contact", None)
    return claim.last_contact_at if contact is None else max(claim.last_contact_at, contact.last_contact_at)
