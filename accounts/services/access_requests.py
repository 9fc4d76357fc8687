"""Requests for a new Smart Account or for access to one, and the mail that tells the requester the decision."""

from datetime import datetime, timedelta
from typing import Any, Final

import structlog
from django.conf import settings
from django.core.mail import EmailMessage
from django.db import transaction
from django.template.loader import render_to_string

from accounts.errors import ACCOUNT_EXISTS, ALREADY_DECIDED, ALREADY_MEMBER, REQUEST_PENDING, TOO_MANY
from accounts.models import AccessRequest, Membership, SmartAccount, User, VirtualAccount
from accounts.services.events import record_event
from accounts.services.members import grant_role, require_may_grant
from accounts.services.smart_accounts import clean_domain, clean_name, create_smart_account
from accounts.states import AccountStatus, RequestKind, RequestStatus
from cssm.common.actor import Actor, ActorKind
from cssm.common.errors import Conflict, Forbidden, Invalid, NotFound
from cssm.common.jobs import nudge
from cssm.common.permissions import Permission, Role

log = structlog.get_logger(__name__)

MAX_PENDING: Final = 20
TEXT_LIMIT: Final = 1000
MAIL_TASK: Final = "accounts.send_access_request_mails"
RETRY_AFTER: Final = timedelta(minutes=5)
MAX_ATTEMPTS: Final = 288  # a day of retries; after that the decision is still on the requester's page


def request_new_account(*, actor: Actor, domain: str, name: str, note: str = "", now: datetime) -> AccessRequest:
    """Ask the operator for a new Smart Account. Raises `Invalid`, `Conflict` (ACCOUNT_EXISTS, REQUEST_PENDING)."""
    domain, name, note = clean_domain(domain), clean_name(name), _clean_text(note, "note")
    if SmartAccount.objects.filter(domain=domain).exists():
        raise Conflict(
            f"There is already a Smart Account {domain}. Ask for access to it.", code=ACCOUNT_EXISTS, where="domain"
        )
    return _create_request(actor, RequestKind.NEW_ACCOUNT, domain, name, note, None, now)


def request_access(*, actor: Actor, domain: str, note: str = "", now: datetime) -> AccessRequest:
    """Ask the administrators of a Smart Account for a role.

    Raises `Invalid` (UNKNOWN_DOMAIN), `Conflict` (ALREADY_MEMBER, REQUEST_PENDING).
    """
    domain, note = clean_domain(domain), _clean_text(note, "note")
    account = SmartAccount.objects.filter(domain=domain, status=AccountStatus.ACTIVE).first()
    if account is None:
        raise Invalid(f"There is no Smart Account {domain}.", code="UNKNOWN_DOMAIN", where="domain")
    if actor.id and Membership.objects.filter(user=int(actor.id), smart_account=account).exists():
        raise Conflict(f"You already have access to {domain}.", code=ALREADY_MEMBER, where="domain")
    return _create_request(actor, RequestKind.EXISTING_ACCOUNT, domain, account.name, note, account, now)


def approve_request(
    *,
    actor: Actor,
    access_request: AccessRequest,
    role: Role | None = None,
    virtual_account: VirtualAccount | None = None,
    now: datetime,
) -> AccessRequest:
    """Create the account asked for, with the requester as SA_ADMIN, or give the requester `role` on it.

    Raises `NotFound`, `Forbidden`, `Invalid`, `Conflict` (ALREADY_DECIDED, ACCOUNT_EXISTS, ALREADY_MEMBER).
    """
    with transaction.atomic():
        row = _lock_pending(actor, access_request)
        if row.kind == RequestKind.NEW_ACCOUNT:
            row.smart_account = create_smart_account(
                actor=actor, domain=row.domain, name=row.name, admin_email=row.requester.email, now=now
            )
            role = Role.SA_ADMIN
        else:
            account = _account_of(row)
            if role is None:
                raise Invalid("Choose the role that the requester gets.", where="role")
            require_may_grant(actor=actor, smart_account=account, role=role, virtual_account=virtual_account)
            grant_role(
                actor=actor,
                user=row.requester,
                smart_account=account,
                role=role,
                virtual_account=virtual_account,
                now=now,
            )
        return _decide(actor, row, RequestStatus.APPROVED, "", {"role": role.value}, now)


def decline_request(*, actor: Actor, access_request: AccessRequest, reason: str, now: datetime) -> AccessRequest:
    """Decline with a reason, which the requester reads. Raises as `approve_request`."""
    reason = _clean_text(reason, "reason")
    if not reason:
        raise Invalid("Say why, the requester will read it.", where="reason")
    with transaction.atomic():
        row = _lock_pending(actor, access_request)
        return _decide(actor, row, RequestStatus.DECLINED, reason, {"reason": reason}, now)


def send_access_request_mails(*, now: datetime, limit: int = 200) -> int:
    """Tell requesters of decisions, one mail each; returns how many were sent.

    A mail whose sending failed, or was cut off, is sent again with the same Message-ID.
    """
    due = AccessRequest.objects.filter(mail_due_at__lte=now).order_by("mail_due_at").values_list("pk", flat=True)
    return sum(_send_mail(pk, now) for pk in list(due[:limit]))


def _send_mail(pk: int, now: datetime) -> bool:
    with transaction.atomic():
        # The next attempt is written down first, so a second sender, or a crash while sending, waits for its time.
        row = AccessRequest.objects.select_for_update(of=("self",)).select_related("requester").get(pk=pk)
        if row.mail_due_at is None or row.mail_due_at > now:
            return False
        row.mail_attempts += 1
        row.mail_due_at = now + RETRY_AFTER if row.mail_attempts < MAX_ATTEMPTS else None
        row.save(update_fields=["mail_attempts", "mail_due_at"])
    try:
        _compose(row).send()
    except OSError as error:  # smtplib's errors are OSErrors too
        log.warning("access_request_mail_failed", request=row.pk, error=type(error).__name__)
        return False
    with transaction.atomic():
        AccessRequest.objects.filter(pk=pk).update(mail_due_at=None, notified_at=now)
    return True


def _compose(row: AccessRequest) -> EmailMessage:
    context = {"request": row, "approved": row.status == RequestStatus.APPROVED, "url": settings.PUBLIC_URL}
    decision = "approved" if row.status == RequestStatus.APPROVED else "declined"
    host = settings.PUBLIC_URL.split("//")[-1].split("/")[0].split(":")[0]
    return EmailMessage(
        subject=f"Your request for {row.domain} was {decision}",
        body=render_to_string("accounts/mail_request_decided.txt", context),
        to=[row.requester.email],
        headers={"Message-ID": f"<access-request-{row.pk}@{host}>", "Auto-Submitted": "auto-generated"},
    )


def _create_request(
    actor: Actor,
    kind: RequestKind,
    domain: str,
    name: str,
    note: str,
    account: SmartAccount | None,
    now: datetime,
) -> AccessRequest:
    if actor.kind is not ActorKind.USER or not actor.id:
        raise Forbidden("Only a signed-in person can ask for an account.")
    with transaction.atomic():
        # The requester's row is the lock: two clicks at once make one request.
        requester = User.objects.select_for_update().get(pk=int(actor.id))
        pending = AccessRequest.objects.pending().filter(requester=requester)
        if pending.filter(domain=domain).exists():
            raise Conflict(f"You already asked for {domain}.", code=REQUEST_PENDING, where="domain")
        if pending.count() >= MAX_PENDING:
            raise Conflict("Too many of your requests are still waiting for an answer.", code=TOO_MANY)
        row = AccessRequest.objects.create(
            requester=requester,
            kind=kind,
            domain=domain,
            name=name,
            note=note,
            smart_account=account,
            created_at=now,
        )
        _record(actor, row, "access_request.created", {}, now)
    return row


def _lock_pending(actor: Actor, access_request: AccessRequest) -> AccessRequest:
    rows = AccessRequest.objects.select_for_update(of=("self",)).select_related("requester", "smart_account")
    row = rows.get(pk=access_request.pk)
    if row.kind == RequestKind.NEW_ACCOUNT:
        if not actor.may(Permission.OPERATE):
            raise NotFound("There is no such request.")
    else:
        actor.require(Permission.APPROVE_ACCESS, smart_account_id=row.smart_account_id)
    if row.status != RequestStatus.PENDING:
        raise Conflict("This request was already decided.", code=ALREADY_DECIDED)
    return row


def _account_of(row: AccessRequest) -> SmartAccount:
    if row.smart_account is None:
        raise NotFound("The Smart Account of this request does not exist.")
    return row.smart_account


def _decide(
    actor: Actor, row: AccessRequest, status: RequestStatus, reason: str, data: dict[str, Any], now: datetime
) -> AccessRequest:
    row.status, row.reason = status, reason
    row.decided_at = row.mail_due_at = now
    row.decided_by = User.objects.get(pk=int(actor.id)) if actor.kind is ActorKind.USER else None
    row.save(update_fields=["status", "reason", "decided_at", "decided_by", "mail_due_at", "smart_account"])
    _record(actor, row, f"access_request.{status.value}", data, now)
    nudge(MAIL_TASK)
    return row


def _clean_text(text: str, where: str) -> str:
    cleaned = text.replace("\r\n", "\n").strip()
    if len(cleaned) > TEXT_LIMIT or not cleaned.replace("\n", "").replace("\t", "").isprintable():
        raise Invalid(f"At most {TEXT_LIMIT} printable characters.", where=where)
    return cleaned


def _record(actor: Actor, row: AccessRequest, name: str, data: dict[str, Any], now: datetime) -> None:
    what = f"a new Smart Account {row.domain}" if row.kind == RequestKind.NEW_ACCOUNT else f"access to {row.domain}"
    record_event(
        actor=actor,
        name=name,
        smart_account=row.smart_account_id,
        subject_type="access_request",
        subject_id=row.pk,
        data={"what": what, **data},
        personal={"requester": row.requester.email},
        now=now,
    )
