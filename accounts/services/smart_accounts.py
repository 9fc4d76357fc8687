"""Smart Accounts: created by the operator, described by their administrators."""

import re
from datetime import datetime
from typing import Any, Final

from django.db import transaction

from accounts.errors import ACCOUNT_EXISTS
from accounts.models import Membership, SmartAccount, User, VirtualAccount
from accounts.services.events import record_event
from accounts.services.users import find_or_create_user
from accounts.states import AccessLevel, ExportStatus
from cssm.common.actor import Actor, ActorKind
from cssm.common.errors import Conflict, Invalid, NotFound
from cssm.common.permissions import Permission, Role

DEFAULT_NAME: Final = "DEFAULT"
_LABEL: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


def clean_domain(domain: str) -> str:
    """The domain in lower case. Raises `Invalid` unless it looks like a DNS name of two labels or more."""
    cleaned = domain.strip().lower()
    labels = cleaned.split(".")
    if len(cleaned) > 253 or len(labels) < 2 or not all(_LABEL.fullmatch(label) for label in labels):
        raise Invalid("A domain looks like acme.example: letters, digits, hyphens and dots.", where="domain")
    return cleaned


def clean_name(name: str, *, limit: int = 200, where: str = "name") -> str:
    """The name on one line, without control characters. Raises `Invalid`."""
    cleaned = " ".join(name.split())
    if not cleaned or len(cleaned) > limit or not cleaned.isprintable():
        raise Invalid(f"A name has 1 to {limit} printable characters.", where=where)
    return cleaned


def get_smart_account(*, actor: Actor, domain: str) -> SmartAccount:
    """The account, if the actor has anything to do with it. Raises `NotFound`, also to strangers."""
    account = SmartAccount.objects.visible_to(actor).filter(domain=domain.lower()).first()
    if account is None:
        raise NotFound("There is no such Smart Account, or you have no access to it.", where="domain")
    return account


def create_smart_account(
    *,
    actor: Actor,
    domain: str,
    name: str,
    admin_email: str,
    now: datetime,
    plr: bool = False,
    slr: bool = True,
    export_restricted: bool = False,
) -> SmartAccount:
    """A Smart Account with its DEFAULT Virtual Account and its first SA_ADMIN, who is made if missing.

    Raises `Forbidden` unless the actor is the operator, `Conflict` (ACCOUNT_EXISTS), `Invalid`.
    """
    actor.require(Permission.OPERATE)
    domain, name = clean_domain(domain), clean_name(name)
    with transaction.atomic():
        account, created = SmartAccount.objects.get_or_create(
            domain=domain,
            defaults={
                "name": name,
                "created_at": now,
                "slr_enabled": slr,
                "plr_enabled": plr,
                "export_status": ExportStatus.RESTRICTED if export_restricted else ExportStatus.ALLOWED,
            },
        )
        if not created:
            raise Conflict(f"There is already a Smart Account {domain}.", code=ACCOUNT_EXISTS, where="domain")
        VirtualAccount.objects.create(
            smart_account=account,
            name=DEFAULT_NAME,
            access_level=AccessLevel.PUBLIC,
            is_default=True,
            created_at=now,
        )
        admin = find_or_create_user(email=admin_email, now=now)
        Membership.objects.create(user=admin, smart_account=account, role=Role.SA_ADMIN, created_at=now)
        record_event(
            actor=actor,
            name="account.created",
            smart_account=account,
            subject_type="smart_account",
            subject_id=account.pk,
            data={"domain": domain, "name": name, **_flags(account)},
            personal={"administrator": admin.email},
            now=now,
        )
    return account


def rename_smart_account(*, actor: Actor, smart_account: SmartAccount, name: str, now: datetime) -> SmartAccount:
    """Give the account another display name. The domain never changes."""
    actor.require(Permission.SA_PROPERTIES, smart_account_id=smart_account.pk)
    name = clean_name(name)
    with transaction.atomic():
        account = SmartAccount.objects.select_for_update().get(pk=smart_account.pk)
        before, account.name = account.name, name
        if before != name:
            account.save(update_fields=["name"])
            _record_change(actor, account, "account.renamed", {"before": before, "after": name}, now)
    return account


def accept_agreement(*, actor: Actor, smart_account: SmartAccount, now: datetime) -> SmartAccount:
    """Accept the agreement for the company, once. Raises `Forbidden` unless SA_ADMIN or SA_APPROVER, or no person."""
    actor.require(Permission.SA_PROPERTIES, smart_account_id=smart_account.pk)
    if actor.kind is not ActorKind.USER:
        raise Invalid("Only a person can accept an agreement.")
    with transaction.atomic():
        account = SmartAccount.objects.select_for_update().get(pk=smart_account.pk)
        if account.agreement_accepted_at is None:
            account.agreement_accepted_at = now
            account.agreement_accepted_by = User.objects.get(pk=int(actor.id))
            account.save(update_fields=["agreement_accepted_at", "agreement_accepted_by"])
            _record_change(actor, account, "account.agreement_accepted", {}, now)
    return account


def set_account_flags(
    *,
    actor: Actor,
    smart_account: SmartAccount,
    slr: bool | None = None,
    plr: bool | None = None,
    export_status: ExportStatus | None = None,
    now: datetime,
) -> SmartAccount:
    """What only the operator decides; None leaves a flag as it is. Raises `Forbidden` to anyone else."""
    actor.require(Permission.OPERATE)
    with transaction.atomic():
        account = SmartAccount.objects.select_for_update().get(pk=smart_account.pk)
        before = _flags(account)
        account.slr_enabled = account.slr_enabled if slr is None else slr
        account.plr_enabled = account.plr_enabled if plr is None else plr
        account.export_status = account.export_status if export_status is None else export_status.value
        after = _flags(account)
        if before != after:
            account.save(update_fields=["slr_enabled", "plr_enabled", "export_status"])
            changes = ", ".join(f"{key} {before[key]} → {after[key]}" for key in after if before[key] != after[key])
            data = {"changes": changes, "before": before, "after": after}
            _record_change(actor, account, "account.flags_changed", data, now)
    return account


def _flags(account: SmartAccount) -> dict[str, str]:
    return {
        "SLR": "on" if account.slr_enabled else "off",
        "PLR": "on" if account.plr_enabled else "off",
        "export": str(account.export_status),
    }


def _record_change(actor: Actor, account: SmartAccount, name: str, data: dict[str, Any], now: datetime) -> None:
    record_event(
        actor=actor,
        name=name,
        smart_account=account,
        subject_type="smart_account",
        subject_id=account.pk,
        data=data,
        now=now,
    )
