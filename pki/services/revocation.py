"""Revoking certificates: rows that the next revocation list names."""

from collections.abc import Collection
from datetime import datetime
from typing import Final

from django.db import transaction
from django.db.models import Q

from cssm.common.jobs import nudge
from pki.models import Certificate, Revocation
from pki.services.ca_log import log_requests
from pki.states import LogKind, RevocationReason

CRL_TASK: Final = "pki.make_crls"


def revoke_certificates(
    *, serials: Collection[str] = (), key_ids: Collection[int] = (), reason: RevocationReason, now: datetime
) -> int:
    """Revoke what is still valid of the certificates with these serial numbers, or for these keys of ours.

    In the caller's transaction where there is one. Returns how many; those that are revoked already stay as they were.
    """
    wanted = Certificate.objects.filter(Q(serial__in=serials) | Q(request__key__in=key_ids), not_after__gt=now)
    with transaction.atomic():
        found = list(wanted.filter(revocation=None).select_related("request__issuer"))
        made = Revocation.objects.bulk_create(
            (
                Revocation(
                    certificate=each,
                    issuer_id=each.issuer_id,
                    serial=each.serial,
                    reason=reason,
                    not_after=each.not_after,
                    revoked_at=now,
                )
                for each in found
            ),
        )
        log_requests([(each.request, bytes(each.der)) for each in found], kind=LogKind.REVOKED, now=now)
    if made:
        nudge(CRL_TASK)
    return len(made)
