"""Usage reports that a person or a program hands in for products that do not speak here themselves.

A product that is registered counts where it is registered, also where the reports were handed in elsewhere; one that
never registered counts in the Virtual Account that was named.
"""

import secrets
from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import Any

from django.db import IntegrityError, transaction

from accounts.models import VirtualAccount
from accounts.services.events import record_event
from cssm.common.actor import Actor, ActorKind
from cssm.common.errors import Conflict, Invalid
from cssm.common.permissions import Permission
from cssm.common.retries import ATTEMPTS, retry_transient
from licensing.codecs.refusals import Refusal, RefusalCode
from licensing.codecs.rum.payload import UsagePayload
from licensing.codecs.rum.report import Submitted, read_file
from licensing.models import ProductInstance, RumUpload, UdiClaim
from licensing.services.devices.answers import Contended
from licensing.services.exchange.rum.judging import FindSource, Source
from licensing.services.exchange.rum.keeping import keep_reports
from licensing.services.exchange.rum.planning import Outcome, Plan, plan_reports
from licensing.states import ACTIVE_STATES, RumChannel

SHOWN_ERRORS = 50


def upload_file(
    *, actor: Actor, virtual_account: VirtualAccount, content: bytes, file_name: str, now: datetime
) -> RumUpload:
    """The reports of a file, JSON or XML. Raises as `hand_in_reports`, and `Invalid` (MALFORMED) for another file."""
    try:
        submitted = read_file(content)
    except Refusal as refusal:
        raise Invalid(refusal.message, code=refusal.code, where="file") from None
    return hand_in_reports(
        actor=actor,
        virtual_account=virtual_account,
        submitted=submitted,
        channel=RumChannel.UPLOAD,
        file_name=file_name,
        now=now,
    )


def hand_in_reports(
    *,
    actor: Actor,
    virtual_account: VirtualAccount,
    submitted: Sequence[Submitted],
    channel: RumChannel,
    file_name: str = "",
    now: datetime,
) -> RumUpload:
    """Each report by itself; `results` of what is returned tell of each.

    Needs MANAGE_ASSETS. Raises `Invalid` with the code of the first, and nothing has changed, where none can be kept.
    """
    account = virtual_account.smart_account_id
    actor.require(Permission.MANAGE_ASSETS, smart_account_id=account, virtual_account_id=virtual_account.pk)
    find_source = _finder(actor, virtual_account)
    for _ in range(ATTEMPTS):
        try:
            plan = plan_reports(submitted=submitted, find_source=find_source, now=now)
            _refuse_if_nothing_is_kept(plan)
            return retry_transient(partial(_write, actor, virtual_account, plan, channel, file_name, now))
        except (Contended, IntegrityError):
            continue  # the same reports came another way at the same time: now they are known
    raise Conflict("These reports are being handed in by somebody else. Try again.", code="CONFLICT")


def _write(
    actor: Actor, virtual_account: VirtualAccount, plan: Plan, channel: RumChannel, file_name: str, now: datetime
) -> RumUpload:
    with transaction.atomic():
        upload = RumUpload.objects.create(
            smart_account_id=virtual_account.smart_account_id,
            virtual_account=virtual_account,
            channel=channel,
            file_name=file_name[:255],
            created_at=now,
            created_by_kind=actor.kind.value,
            created_by_id=actor.id,
            created_by_label="" if actor.kind is ActorKind.USER else actor.label[:255],
            poll_id=_make_poll_id() if channel is RumChannel.API else None,
            results=[_show(outcome, virtual_account) for outcome in plan.distinct],
        )
        kept = keep_reports(plan=plan, channel=channel, upload=upload, now=now)
        if kept:
            record_event(
                actor=actor,
                name="rum.uploaded",
                smart_account=virtual_account.smart_account_id,
                virtual_account=virtual_account,
                subject_type="rum_upload",
                subject_id=upload.pk,
                data={
                    "file": file_name[:255] or channel.label,
                    "count": len(kept),
                    "verified": sum(row.is_verified for row in kept),
                },
                now=now,
            )
    return upload


def _make_poll_id() -> int:
    """18 digits, as programs in the field know them."""
    return 10**17 + secrets.randbelow(9 * 10**17)


def _finder(actor: Actor, virtual_account: VirtualAccount) -> FindSource:
    """Where a product counts, looked up once for each."""
    account, found = virtual_account.smart_account_id, dict[str, Source | Refusal]()

    def find(udi: str) -> Source | Refusal:
        if UdiClaim.objects.filter(udi=udi).exclude(smart_account=account).exists():
            return _elsewhere(udi)
        instances = ProductInstance.objects.filter(smart_account=account, udi=udi).order_by("-registered_at", "-pk")
        instances = instances.filter(virtual_account__deleted_at__isnull=True)
        instance = instances.filter(state__in=ACTIVE_STATES).first() or instances.first()
        if instance is None:
            return Source(account, virtual_account.pk, None)
        if not actor.may(
            Permission.MANAGE_ASSETS, smart_account_id=account, virtual_account_id=instance.virtual_account_id
        ):
            return _elsewhere(udi)
        return Source(account, instance.virtual_account_id, instance.pk)

    def find_source(payload: UsagePayload) -> Source:
        source = found.get(payload.udi)
        if source is None:
            source = found[payload.udi] = find(payload.udi)
        if isinstance(source, Refusal):
            raise source
        return source

    return find_source


def _elsewhere(udi: str) -> Refusal:
    """The same words for another company's product and for one of a Virtual Account that the actor may not manage."""
    message = f"{udi[:100]} is registered elsewhere: its reports are not taken here."
    return Refusal(RefusalCode.UDI_REGISTERED_ELSEWHERE, message, where="asset_identification.instance.sudi")


def _refuse_if_nothing_is_kept(plan: Plan) -> None:
    if any(outcome.is_kept for outcome in plan.outcomes):
        return
    errors = [{"field": one.where, "code": one.status, "message": one.message} for one in plan.outcomes[:SHOWN_ERRORS]]
    first, count = plan.outcomes[0], len(plan.outcomes)
    more = "" if count == 1 else f" None of the {count} reports could be taken."
    raise Invalid(f"{first.message}{more}", code=first.status, where="file", details={"errors": errors})


def _show(outcome: Outcome, virtual_account: VirtualAccount) -> dict[str, Any]:
    payload = outcome.payload
    shown = {
        "status": outcome.status,
        "message": outcome.message,
        "where": outcome.where,
        "virtual_account": outcome.virtual_account_id or virtual_account.pk,
    }
    if payload is None:
        return shown
    names = ("udi_pid", "udi_serial_number", "udi_vid", "uuid", "host_identifier", "mac_address")
    return {
        **shown,
        "report_id": payload.report_id,
        "udi": payload.udi,
        "sudi": {name: value for name in names if (value := getattr(payload.sudi, name))},
        "software_tag": payload.software_tag,
        "tag": payload.entitlement_tag,
    }
