"""What the root signs later: rows with a due time, worked by the one process that has the root's passphrase.

Never early, never twice, never lost: a request is claimed with its stored intent, signed, and recorded by a conditional
update. One whose process died while signing is taken up again after its intent was given up.
"""

from datetime import datetime

import structlog
from django.conf import settings
from django.db import transaction
from django.db.models import Q, QuerySet

from pki.crypto import certificates, profiles
from pki.crypto.certificates import Plan
from pki.errors import PassphraseMissing, RequestClosed
from pki.models import Authority, RootRequest, SigningRequest
from pki.services import signing_requests
from pki.services.authorities import get_authority
from pki.services.issuance import STALE_AFTER
from pki.services.issuing import is_stopped
from pki.states import AuthorityName, ProfileName, RequestState, RootRequestState

log = structlog.get_logger(__name__)


def enqueue_request(
    *, profile: ProfileName, common_name: str, spki_der: bytes, due_at: datetime, now: datetime
) -> RootRequest:
    """Ask for a certificate of the root, in the caller's transaction. Raises ValueError for what it does not sign."""
    if profiles.ALLOWED_ISSUERS[profile] is not AuthorityName.ROOT:
        raise ValueError(f"the root does not sign certificates of profile {profile}")
    return RootRequest.objects.create(
        profile=profile, common_name=common_name, spki_der=spki_der, due_at=due_at, created_at=now
    )


def release_request(*, request_id: int, due_at: datetime) -> bool:
    """Have it signed at `due_at`, also if it is held. False where it is being signed, was signed or cancelled."""
    waiting = RootRequest.objects.filter(pk=request_id, state__in=[RootRequestState.WAITING, RootRequestState.HELD])
    return waiting.update(state=RootRequestState.WAITING, due_at=due_at) == 1


def hold_request(*, request_id: int) -> bool:
    """Keep it from being signed until it is released. False as above."""
    waiting = RootRequest.objects.filter(pk=request_id, state=RootRequestState.WAITING)
    return waiting.update(state=RootRequestState.HELD) == 1


def cancel_request(*, request_id: int) -> bool:
    """Give it up for good, also while it is being signed: nothing is recorded then. False if it was signed."""
    given_up = RootRequest.objects.filter(pk=request_id).exclude(state=RootRequestState.SIGNED)
    return given_up.update(state=RootRequestState.CANCELLED) == 1


def sign_due(*, now: datetime) -> int:
    """Sign everything that is due; returns how many. Raises PassphraseMissing where this process cannot.

    One that fails is logged, and tried again after 15 minutes; the others go on.
    """
    if not _due(now).exists():
        return 0
    if not settings.ROOT_KEY_PASSPHRASE:
        raise PassphraseMissing("The root key is needed: only the root worker is given ROOT_KEY_PASSPHRASE.")
    if is_stopped():
        return 0
    root, signed = get_authority(AuthorityName.ROOT), 0
    while (claimed := _claim(root, now)) is not None:
        try:
            signed += _sign(*claimed, now)
        except Exception:
            log.exception("root_signature_failed", request=claimed[0].pk)
    return signed


def _due(now: datetime) -> QuerySet[RootRequest]:
    waiting = Q(state=RootRequestState.WAITING, due_at__lte=now)
    stuck = Q(state=RootRequestState.SIGNING, attempted_at__lte=now - STALE_AFTER)
    return RootRequest.objects.filter(waiting | stuck)


def _claim(root: Authority, now: datetime) -> tuple[RootRequest, SigningRequest, Plan] | None:
    """The next request with its intent, which is stored when this returns."""
    with transaction.atomic(durable=True):
        locked = _due(now).select_for_update(skip_locked=True, of=("self",)).select_related("signing_request__issuer")
        row = locked.order_by("due_at", "pk").first()
        if row is None:
            return None
        earlier = row.signing_request
        if earlier is not None and earlier.state == RequestState.PENDING:
            signing_requests.void_requests([earlier], now=now)
        plan = _plan(row, root, now)
        [request] = signing_requests.open_requests([(plan, None)], issuer=root, now=now)
        row.state, row.attempted_at, row.signing_request = RootRequestState.SIGNING, now, request
        row.save(update_fields=["state", "attempted_at", "signing_request"])
    return row, request, plan


def _sign(row: RootRequest, request: SigningRequest, plan: Plan, now: datetime) -> int:
    signed = signing_requests.sign_request(request, plan, passphrase=settings.ROOT_KEY_PASSPHRASE)
    try:
        with transaction.atomic():
            [certificate] = signing_requests.close_requests([signed], now=now)
            ours = RootRequest.objects.filter(pk=row.pk, state=RootRequestState.SIGNING, signing_request=request)
            if ours.update(state=RootRequestState.SIGNED, certificate=certificate) != 1:
                raise RequestClosed("The request was cancelled while it was signed.")
    except RequestClosed:
        with transaction.atomic():
            if SigningRequest.objects.filter(pk=request.pk, state=RequestState.PENDING).exists():
                signing_requests.void_requests([request], now=now)
        return 0
    return 1


def _plan(row: RootRequest, root: Authority, now: datetime) -> Plan:
    crl_url, issuer_url = signing_requests.name_places(AuthorityName.ROOT)
    return Plan(
        profile=ProfileName(row.profile),
        serial=certificates.make_serial(),
        common_name=row.common_name,
        spki_der=bytes(row.spki_der),
        issuer_der=bytes(root.certificate_der),
        now=now,
        crl_url=crl_url,
        issuer_url=issuer_url,
    )
