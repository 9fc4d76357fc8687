"""Account tags on licenses (pools) and product instances."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Final

from django.db import transaction
from django.db.models import Count, OuterRef, QuerySet, Subquery, Value
from django.db.models.functions import Coalesce

from accounts.models import AccountTag, SmartAccount, VirtualAccount
from accounts.services.events import record_event
from accounts.services.tags import Retagged, change_tags
from accounts.states import register_events
from cssm.common.actor import Actor
from cssm.common.permissions import Permission
from cssm.common.text import mark
from licensing.models import Pool, ProductInstance

TAG_EVENTS: Final[dict[str, str]] = {
    "license.tags_changed": mark("The tags of {license} were changed: {changes}."),
    "instance.tags_changed": mark("The tags of {udi} were changed: {changes}."),
}


def register_tag_events() -> None:
    """Called once, when the app is ready."""
    register_events(TAG_EVENTS)


def read_tags(*, actor: Actor, smart_account: SmartAccount) -> QuerySet[AccountTag]:
    """Every word of the account, with how often the actor sees it used: `virtual_account_uses`, `license_uses` and
    `instance_uses`."""
    tags = AccountTag.objects.visible_to(actor).filter(smart_account=smart_account)
    counted: QuerySet[AccountTag] = tags.select_related("smart_account").annotate(
        virtual_account_uses=_count_uses(VirtualAccount.objects.live().visible_to(actor)),
        license_uses=_count_uses(Pool.objects.visible_to(actor)),
        instance_uses=_count_uses(ProductInstance.objects.active().visible_to(actor)),
    )
    return counted


def _count_uses(rows: QuerySet[Any]) -> Coalesce:
    having = rows.filter(tags=OuterRef("pk")).order_by().values("tags")
    return Coalesce(Subquery(having.annotate(n=Count("pk")).values("n")), Value(0))


def tag_pools(
    *,
    actor: Actor,
    smart_account: SmartAccount,
    pools: Sequence[Pool],
    add: Iterable[str] = (),
    remove: Iterable[str] = (),
    exactly: Iterable[str] | None = None,
    now: datetime,
) -> int:
    """Tag licenses of Virtual Accounts, all or none; returns how many changed. Missing words are made.

    `exactly`, where given, is all the tags they have afterwards. Raises `Forbidden` where the actor may not manage
    what is in one of the Virtual Accounts, `NotFound` for a license of another account and for a word to remove that
    the account has not (TAG_UNKNOWN), `Invalid` (TAG_NAME), `Conflict` (TOO_MANY_TAGS).
    """
    _require_rights(actor, pools)
    with transaction.atomic():
        changed = change_tags(
            actor=actor,
            smart_account_id=smart_account.pk,
            rows=pools,
            add=add,
            remove=remove,
            exactly=exactly,
            now=now,
        )
        for one in changed:
            data = {"license": one.row.license.display_name, "tag": one.row.license.tag}
            _record(actor, one, "license.tags_changed", ("pool", one.row.pk), data, now)
    return len(changed)


def tag_instances(
    *,
    actor: Actor,
    smart_account: SmartAccount,
    instances: Sequence[ProductInstance],
    add: Iterable[str] = (),
    remove: Iterable[str] = (),
    exactly: Iterable[str] | None = None,
    now: datetime,
) -> int:
    """Tag product instances, all or none; everything as for `tag_pools`."""
    _require_rights(actor, instances)
    with transaction.atomic():
        changed = change_tags(
            actor=actor,
            smart_account_id=smart_account.pk,
            rows=instances,
            add=add,
            remove=remove,
            exactly=exactly,
            now=now,
        )
        for one in changed:
            subject, data = ("product_instance", str(one.row.piid)), {"udi": one.row.udi, "piid": str(one.row.piid)}
            _record(actor, one, "instance.tags_changed", subject, data, now)
    return len(changed)


def _require_rights(actor: Actor, rows: Sequence[Pool] | Sequence[ProductInstance]) -> None:
    for smart_account, virtual_account in {(row.smart_account_id, row.virtual_account_id) for row in rows}:
        actor.require(Permission.MANAGE_ASSETS, smart_account_id=smart_account, virtual_account_id=virtual_account)


def _record(
    actor: Actor, one: Retagged, name: str, subject: tuple[str, Any], data: dict[str, Any], now: datetime
) -> None:
    record_event(
        actor=actor,
        name=name,
        smart_account=one.row.smart_account_id,
        virtual_account=one.row.virtual_account_id,
        subject_type=subject[0],
        subject_id=subject[1],
        data={**data, **one.describe()},
        now=now,
    )
