"""Usage reports that an on-prem server carries for its products, in its synchronization file.

The file is signed by the server, which answers for products whose certificates are its own: their reports are kept and
not verified. One that cannot be taken is told in the response and never keeps the file from being applied.
"""

from collections.abc import Sequence
from datetime import datetime

from django.db import IntegrityError, transaction

from accounts.services.events import record_event
from cssm.common.actor import Actor
from cssm.common.retries import ATTEMPTS
from licensing.codecs.refusals import Refusal, RefusalCode
from licensing.codecs.rum.payload import UsagePayload
from licensing.codecs.rum.report import Submitted
from licensing.models import Origin, ProductInstance, RumReport
from licensing.services.devices.answers import Contended
from licensing.services.exchange.rum.judging import Source
from licensing.services.exchange.rum.keeping import keep_reports
from licensing.services.exchange.rum.planning import Outcome, plan_reports
from licensing.states import ACTIVE_STATES, RumChannel


def take_from_server(*, actor: Actor, origin: Origin, submitted: Sequence[Submitted], now: datetime) -> list[Outcome]:
    """What became of each, in the caller's transaction, after the instances of the file were applied."""

    def find_source(payload: UsagePayload) -> Source:
        instances = ProductInstance.objects.filter(origin=origin, udi=payload.udi).order_by("-registered_at", "-pk")
        instance = instances.filter(state__in=ACTIVE_STATES).first() or instances.first()
        if instance is None:
            raise Refusal(RefusalCode.UDI_MISMATCH, f"{payload.udi[:100]} is no product of this server.")
        if instance.claim_lost:
            raise Refusal(RefusalCode.UDI_REGISTERED_ELSEWHERE, f"{payload.udi[:100]} is counted elsewhere.")
        return Source(instance.smart_account_id, instance.virtual_account_id, instance.pk, vouched=True)

    for attempt in range(ATTEMPTS):
        plan = plan_reports(submitted=submitted, find_source=find_source, now=now)
        try:
            with transaction.atomic():
                _record(actor, keep_reports(plan=plan, channel=RumChannel.ONPREM, now=now), now)
        except (Contended, IntegrityError):
            if attempt == ATTEMPTS - 1:
                raise
        else:
            break
    return plan.outcomes


def _record(actor: Actor, kept: list[RumReport], now: datetime) -> None:
    """One event for each product."""
    by_product: dict[str, list[RumReport]] = {}
    for row in kept:
        by_product.setdefault(row.udi, []).append(row)
    for udi, rows in by_product.items():
        record_event(
            actor=actor,
            name="rum.received",
            smart_account=rows[0].smart_account_id,
            virtual_account=rows[0].virtual_account_id,
            subject_type="product_instance",
            subject_id=str(rows[0].instance.piid) if rows[0].instance else udi,
            data={"udi": udi, "count": len(rows), "verified": sum(row.is_verified for row in rows)},
            now=now,
        )
