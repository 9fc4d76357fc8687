"""Publishing revocation lists: made anew when something was revoked, and long before the old one ends.

The root's list is made by the process that has the root's passphrase, all others by any worker.
"""

from datetime import datetime, timedelta
from typing import Final

from django.conf import settings
from django.db import transaction

from cssm.common.leases import lease
from pki import keystore
from pki.crypto.crls import CrlPlan, Revoked, assemble_crl, build_crl_tbs
from pki.models import Authority, Revocation, RevocationList
from pki.states import AuthorityName, RevocationReason

ISSUERS: Final = (AuthorityName.PRODUCT_SUB_CA, AuthorityName.SATELLITE_CA, AuthorityName.TG_ISSUER)
LIFE: Final = timedelta(days=7)
ROOT_LIFE: Final = timedelta(days=365)
_KEPT: Final = 3
_LEASE_SECONDS: Final = 300.0


def make_crls(*, now: datetime) -> int:
    """The lists of all who issue, but the root, as far as they are due; returns how many were made."""
    return _make_due([name.value for name in ISSUERS], LIFE, "pki.make_crls", None, now)


def make_root_crl(*, now: datetime) -> int:
    """The root's list, if it is due. Does nothing without ROOT_KEY_PASSPHRASE: another process has it."""
    if not settings.ROOT_KEY_PASSPHRASE:
        return 0
    return _make_due([AuthorityName.ROOT.value], ROOT_LIFE, "pki.make_root_crl", settings.ROOT_KEY_PASSPHRASE, now)


def find_crl(name: str) -> RevocationList | None:
    """The newest list of the authority that bears the name now."""
    lists = RevocationList.objects.filter(authority__name=name, authority__replaced_at=None)
    return lists.order_by("-number").first()


def _make_due(names: list[str], life: timedelta, task: str, passphrase: str | None, now: datetime) -> int:
    made = 0
    with lease(task, now=now, seconds=_LEASE_SECONDS) as obtained:
        if not obtained:
            return 0
        rows = Authority.objects.filter(name__in=names, replaced_at=None).exclude(certificate_der=b"")
        for authority in rows.select_related("key"):
            newest = authority.lists.order_by("-number").first()
            if newest is None or _is_due(authority, newest, life, now):
                _publish(authority, 1 if newest is None else newest.number + 1, life, passphrase, now)
                made += 1
    return made


def _is_due(authority: Authority, newest: RevocationList, life: timedelta, now: datetime) -> bool:
    """Half way through its life, or once it does not name all that it should."""
    if newest.next_update - now < life / 2:
        return True
    revoked: int = Revocation.objects.filter(issuer=authority).count()
    return revoked != newest.known


def _publish(authority: Authority, number: int, life: timedelta, passphrase: str | None, now: datetime) -> None:
    now = now.replace(microsecond=0)
    rows = Revocation.objects.filter(issuer=authority)
    known = rows.count()
    # A certificate that has ended is named once more after its end (RFC 5280 section 3.3), and then no more.
    named = rows.filter(not_after__gt=now - life).order_by("revoked_at", "pk")
    entries = [
        Revoked(serial, min(at, now).replace(microsecond=0), RevocationReason(reason))
        for serial, at, reason in named.values_list("serial", "revoked_at", "reason")
    ]
    plan = CrlPlan(bytes(authority.certificate_der), number, now, now + life, entries)
    tbs, key = build_crl_tbs(plan), authority.key.ref
    if passphrase is None:
        signature = keystore.sign_as_authority(key, tbs)
    else:
        signature = keystore.sign_as_root(key, tbs, passphrase=passphrase)
    der = assemble_crl(tbs, signature, issuer_spki_der=key.spki_der)
    with transaction.atomic():
        RevocationList.objects.create(
            authority=authority,
            number=number,
            der=der,
            entries=len(entries),
            known=known,
            this_update=plan.this_update,
            next_update=plan.next_update,
        )
        RevocationList.objects.filter(authority=authority, number__lte=number - _KEPT).delete()
