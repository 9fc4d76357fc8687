"""The 3-tier certificate: signed by the root 48 hours after registration (white paper, 3-tier vs. 4-tier), unless an
operator has it signed early or holds it."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from django.db import transaction

from accounts.models import Event
from cssm.common.actor import SYSTEM, Actor
from cssm.common.errors import Conflict, Invalid
from cssm.common.jobs import nudge
from cssm.common.permissions import Permission
from pki.services import root_queue
from pki.states import RootRequestState
from sync.models import OnPremServer
from sync.services.servers import lock_server, record

SIGN_TASK: Final = "pki.sign_root_requests"
RELEASED: Final = "onprem.three_tier_released"
HELD: Final = "onprem.three_tier_held"
REASON_LIMIT: Final = 300
_BATCH: Final = 200


@dataclass(frozen=True, slots=True)
class ThreeTier:
    """Where the certificate stands; `reason` is why an operator last had it signed early or held."""

    state: RootRequestState
    due_at: datetime
    reason: str = ""

    def is_late_at(self, moment: datetime) -> bool:
        """Due, and not signed yet: the root's worker takes it up next."""
        return self.state is RootRequestState.WAITING and self.due_at <= moment


def describe_three_tier(server: OnPremServer) -> ThreeTier | None:
    """For the people of the server, who also find the reason in their event log."""
    if server.three_tier is None:
        return None
    changes = Event.objects.filter(
        subject_type="onprem_server",
        subject_id=str(server.uuid),
        name__in=(RELEASED, HELD),
        at__gte=server.registered_at,
    )
    last = changes.order_by("-pk").first()
    reason = str(last.data.get("reason", "")) if last is not None else ""
    return ThreeTier(RootRequestState(server.three_tier.state), server.three_tier.due_at, reason)


def release_three_tier(*, actor: Actor, server: OnPremServer, reason: str, now: datetime) -> None:
    """Have it signed now, also if it was held. Raises `Forbidden`, `Invalid`, `Conflict` (ALREADY_SIGNED)."""
    _change(actor, server, reason, RELEASED, now, release=True)
    nudge(SIGN_TASK)


def hold_three_tier(*, actor: Actor, server: OnPremServer, reason: str, now: datetime) -> None:
    """Keep it from being signed until it is released. Raises as above."""
    _change(actor, server, reason, HELD, now, release=False)


def tell_signed(*, now: datetime) -> int:
    """Write into the log which certificates the root has signed; returns how many."""
    signed = OnPremServer.objects.filter(three_tier_told=False, three_tier__state=RootRequestState.SIGNED)
    told = 0
    for pk in list(signed.order_by("pk").values_list("pk", flat=True)[:_BATCH]):
        with transaction.atomic():
            server = lock_server(pk)
            if OnPremServer.objects.filter(pk=pk, three_tier_told=False).update(three_tier_told=True):
                record(SYSTEM, server, "onprem.three_tier_signed", {}, now)
                told += 1
    return told


def _change(actor: Actor, server: OnPremServer, reason: str, event: str, now: datetime, *, release: bool) -> None:
    actor.require(Permission.OPERATE)
    reason = " ".join(reason.split())
    if not 1 <= len(reason) <= REASON_LIMIT or not reason.isprintable():
        raise Invalid(f"Give a reason of 1 to {REASON_LIMIT} characters; it goes into the log.", where="reason")
    with transaction.atomic():
        current = lock_server(server.pk)
        done = False
        if current.three_tier_id is not None and release:
            done = root_queue.release_request(request_id=current.three_tier_id, due_at=now)
        elif current.three_tier_id is not None:
            done = root_queue.hold_request(request_id=current.three_tier_id)
        if not done:
            raise Conflict("The certificate is signed already, or is not waiting.", code="ALREADY_SIGNED")
        record(actor, current, event, {"reason": reason}, now)
