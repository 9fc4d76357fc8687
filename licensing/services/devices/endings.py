"""The end of a registration, whoever brings it about: its use and its claim on the UDI are freed with it."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from django.db import transaction
from django.db.models import F

from accounts.services.events import record_event
from cssm.common.actor import Actor
from cssm.common.errors import Conflict
from cssm.common.permissions import Permission
from cssm.common.retries import retry_transient
from licensing.codecs.device_answer import Echo
from licensing.codecs.device_data import parse_deregistration
from licensing.codecs.device_message import Request
from licensing.models import InstanceContact, InstanceKey, InstanceWatch, ProductInstance, UdiClaim, Usage
from licensing.services.devices.answers import Contended, compose_success
from licensing.services.devices.endpoint_use import count_endpoints, release_endpoints
from licensing.services.devices.notices import OF_THE_LIVING, clear_notices, give_notice
from licensing.services.devices.sessions import Session, accept_message
from licensing.services.devices.usage import free_use, plan_use, user_of, write_use
from licensing.states import ACTIVE_STATES, InstanceState, NoticeKind, UsageSource
from pki.services.revocation import revoke_certificates
from pki.states import RevocationReason

Ender = Callable[[Actor, ProductInstance, datetime], None]
_enders: list[Ender] = []
_successions: list[Ender] = []


def register_ender(ender: Ender) -> None:
    """Add what ends with a registration: `ender(actor, instance, now)`, in the transaction that ends it.

    For areas above this one. It may lock pools, and nothing else that others lock.
    """
    if ender not in _enders:
        _enders.append(ender)


def register_succession(succession: Ender) -> None:
    """Add who takes over from an instance that counts no more, because it ended or its UDI counts elsewhere.

    `succession(actor, instance as it was, now)` is called in the transaction that takes its count away.
    """
    if succession not in _successions:
        _successions.append(succession)


def pass_count_on(*, actor: Actor, instance: ProductInstance, now: datetime) -> None:
    """`instance`, as it was, counts no more: whoever stands by for it counts at once. In the caller's transaction."""
    for succession in _successions:
        succession(actor, instance, now)


def deregister_instance(*, session: Session, request: Request, digest: str, now: datetime) -> bytes:
    """The product leaves by itself: DEREGISTRATION."""
    parse_deregistration(request.data)
    answer = compose_success(signer=session.signer, echo=Echo.of(request.header), data={}, now=now)
    with transaction.atomic():
        lock_claim(session.udi)
        accept_message(session=session, timestamp=request.header.timestamp, digest=digest, answer=answer, now=now)
        instance = ProductInstance.objects.get(pk=session.instance_id)
        _end(session.actor, instance, InstanceState.DEREGISTERED, "instance.deregistered", now)
        _release_claim(instance)
    return answer


def remove_instance(*, actor: Actor, instance: ProductInstance, now: datetime) -> None:
    """A person or program removes it; the product learns by its next message that it is NOT_REGISTERED.

    Raises `Forbidden`, `NotFound`, `Conflict`: OWNED_BY_SERVER for one of an on-prem server, RETURN_CODE_NEEDED for one
    that holds a reservation or an export key. One that has ended already is left as it is.
    """
    require_manage(actor, instance)
    if not instance.is_direct:
        raise Conflict(
            f"{instance.udi} is registered to an on-prem server. Remove it there, and synchronize.",
            code="OWNED_BY_SERVER",
        )
    retry_transient(lambda: _remove(actor, instance, now))


def replace_instance(*, actor: Actor, instance_id: int, now: datetime) -> ProductInstance | None:
    """End the earlier registration of a product that registers again, in the caller's transaction; the claim stays.

    Returns it as it was before, or None where it had ended already.
    """
    before = lock_instance(instance_id)
    if not InstanceState(before.state).is_active:
        return None
    _end(actor, before, InstanceState.REMOVED, "instance.replaced", now, RevocationReason.SUPERSEDED)
    return before


def end_reserved(*, actor: Actor, instance: ProductInstance, state: InstanceState, now: datetime) -> None:
    """End a product instance that held a reservation, in the caller's transaction: its UDI is free again.

    The caller has locked the claim on the UDI, and taken the reservation out of the pools.
    """
    current = lock_instance(instance.pk)
    _end(actor, current, state, "instance.removed", now)
    _release_claim(current)


def lose_count(*, actor: Actor, instance_id: int, now: datetime) -> None:
    """Another Smart Account's product took over the UDI: this instance stays, but counts nowhere any more."""
    instance = lock_instance(instance_id)
    if not InstanceState(instance.state).is_active or instance.claim_lost:
        return
    release_use(actor=actor, instance=instance, forget=False, now=now)
    ProductInstance.objects.filter(pk=instance.pk).update(is_counted=False, claim_lost=True)
    pass_count_on(actor=actor, instance=instance, now=now)
    give_notice(instance=instance, kind=NoticeKind.CLAIMED_ELSEWHERE, at=now)
    _record(actor, instance, "instance.claim_lost", now)


def release_use(*, actor: Actor, instance: ProductInstance, forget: bool, now: datetime) -> None:
    """Nothing that it uses counts any more, in the caller's transaction; `forget` it, for the instance has ended."""
    user = user_of(instance)
    free_use(actor=actor, user=user, forget=forget, now=now)
    release_endpoints(actor=actor, user=user, forget=forget, now=now)


def regain_count(*, actor: Actor, instance_id: int, event: str = "instance.claim_gained", now: datetime) -> None:
    """The UDI is this instance's now: what it uses counts from here on. In the caller's transaction."""
    instance = lock_instance(instance_id)
    if not InstanceState(instance.state).is_active or instance.is_counted:
        return
    counted = replace(user_of(instance), is_counted=True)
    own = Usage.objects.filter(instance=instance, source=UsageSource.REPORT)
    stored = {use.tag: use.quantity for use in own}
    plan = plan_use(user=counted, counts=stored, was_counted=False)
    write_use(actor=actor, user=counted, plan=plan, now=now)
    ProductInstance.objects.filter(pk=instance.pk).update(is_counted=True, claim_lost=False)
    clear_notices(instance_ids=[instance.pk], kinds=[NoticeKind.CLAIMED_ELSEWHERE], at=now)
    count_endpoints(actor=actor, user=counted, now=now)
    _record(actor, instance, event, now)


def regain_claim(*, actor: Actor, instance_id: int, now: datetime) -> None:
    """The UDI is this instance's now, which stands by for another one of its group. In the caller's transaction."""
    instance = lock_instance(instance_id)
    if not InstanceState(instance.state).is_active or not instance.claim_lost:
        return
    ProductInstance.objects.filter(pk=instance.pk).update(claim_lost=False)
    clear_notices(instance_ids=[instance.pk], kinds=[NoticeKind.CLAIMED_ELSEWHERE], at=now)
    _record(actor, instance, "instance.claim_regained", now)


def expire_instance(*, actor: Actor, instance: ProductInstance, at: datetime, now: datetime) -> None:
    """It did not renew, and its certificate ended `at`. In the caller's transaction, the claim and instance locked."""
    _end(actor, instance, InstanceState.EXPIRED, "instance.expired", now)
    _release_claim(instance)
    give_notice(instance=instance, kind=NoticeKind.REMOVED, at=at)


def end_compromised(*, actor: Actor, instance: ProductInstance, now: datetime) -> bool:
    """Its key is in other hands: it has to register anew with another. In the caller's transaction."""
    lock_claim(instance.udi)
    current = lock_instance(instance.pk)
    if not InstanceState(current.state).is_active:
        return False
    _end(actor, current, InstanceState.REMOVED, "instance.key_blocked", now, RevocationReason.KEY_COMPROMISE)
    _release_claim(current)
    return True


def lock_instance(instance_id: int) -> ProductInstance:
    """The instance as it is, once no message of it is under way; those that had read it start again.

    Its own row is locked too: one that has never spoken here has no contact to lock.
    """
    InstanceContact.objects.filter(pk=instance_id).update(revision=F("revision") + 1)
    return ProductInstance.objects.select_for_update(no_key=True).get(pk=instance_id)


def require_manage(actor: Actor, instance: ProductInstance) -> None:
    """Raises `NotFound` or `Forbidden` unless the actor may manage the assets of where the instance is."""
    actor.require(
        Permission.MANAGE_ASSETS,
        smart_account_id=instance.smart_account_id,
        virtual_account_id=instance.virtual_account_id,
    )


def lock_claim(udi: str) -> None:
    """Whoever ends a registration locks the claim before the instance, as a new registration does: no deadlock."""
    list(UdiClaim.objects.select_for_update().filter(udi=udi).values_list("pk"))


def _remove(actor: Actor, instance: ProductInstance, now: datetime) -> None:
    with transaction.atomic():
        lock_claim(instance.udi)
        current = lock_instance(instance.pk)
        require_manage(actor, current)  # it may have been transferred since it was read
        if current.state == InstanceState.RESERVED:
            raise Conflict(
                f"{current.udi} holds reserved licenses, which the product may go on using. Return them: enter the"
                " return code that the product shows, or rehost them if the product has failed.",
                code="RETURN_CODE_NEEDED",
                where="returnCode",
            )
        if not InstanceState(current.state).is_active:
            return
        if current.holds_export_key:
            raise Conflict(
                f"{current.udi} holds an export authorization key, which the product may go on using. Let the product"
                " deregister, or enter the return code that it shows for the key.",
                code="RETURN_CODE_NEEDED",
                where="returnCode",
            )
        _end(actor, current, InstanceState.REMOVED, "instance.removed", now)
        _release_claim(current)


def _end(
    actor: Actor,
    instance: ProductInstance,
    state: InstanceState,
    event: str,
    now: datetime,
    reason: RevocationReason = RevocationReason.CESSATION,
) -> None:
    release_use(actor=actor, instance=instance, forget=True, now=now)
    ending = ProductInstance.objects.filter(pk=instance.pk, state__in=ACTIVE_STATES)
    if ending.update(state=state, ended_at=now) != 1:
        raise Contended
    InstanceWatch.objects.filter(pk=instance.pk).delete()
    _revoke(instance, reason, now)
    pass_count_on(actor=actor, instance=instance, now=now)
    for ender in _enders:
        ender(actor, instance, now)
    clear_notices(instance_ids=[instance.pk], kinds=OF_THE_LIVING, at=now)
    _record(actor, instance, event, now)


def _revoke(instance: ProductInstance, reason: RevocationReason, now: datetime) -> None:
    """What was issued to it speaks for nobody any more, also to those who know it by its certificates alone."""
    keys = InstanceKey.objects.filter(instance=instance, not_after__gt=now)
    if found := list(keys.values_list("id_cert_serial", "signing_key")):
        serials, key_ids = zip(*found, strict=True)
        revoke_certificates(serials=serials, key_ids=key_ids, reason=reason, now=now)


def _release_claim(instance: ProductInstance) -> None:
    """No instance counts the UDI any more: another Smart Account may register the product at once."""
    UdiClaim.objects.filter(udi=instance.udi, instance=instance).delete()


def _record(actor: Actor, instance: ProductInstance, name: str, now: datetime) -> None:
    record_event(
        actor=actor,
        name=name,
        smart_account=instance.smart_account_id,
        virtual_account=instance.virtual_account_id,
        subject_type="product_instance",
        subject_id=str(instance.piid),
        data={"udi": instance.udi, "piid": str(instance.piid)},
        now=now,
    )
