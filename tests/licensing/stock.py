"""Licenses, orders and use as the tests of pools and ownership make them."""

import itertools
import uuid
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django.db import transaction

from accounts.models import VirtualAccount
from cssm.common.actor import SYSTEM
from licensing.models import HaGroup, License, Origin, Pool, ProductInstance, Usage
from licensing.services.catalog.imports import import_catalog
from licensing.services.catalog.writing import ImportResult
from licensing.services.ownership.orders import Delivery, deliver_order
from licensing.services.pools.deltas import PoolChange, record_change
from licensing.services.pools.units import ensure_pools
from licensing.states import InstanceState, UsageKind

COLUMNS = "tag,kind,display_name,feature_name,license_type,enforcement_type,export_status,pids,higher,billing"
_numbers = itertools.count(1)


def import_rows(rows: Iterable[str], now: datetime, *, columns: str = COLUMNS, **options: Any) -> ImportResult:
    return import_catalog(actor=SYSTEM, rows=[f"{line}\n" for line in (columns, *rows)], now=now, **options)


def make_license(tag: str, now: datetime, *, higher: str = "", billing: str = "PREPAID") -> License:
    import_rows([f"{tag},entitlement,{tag} name,,perpetual,,,,{higher},{billing}"], now)
    return License.objects.get(tag=tag)


def deliver(
    virtual_account: VirtualAccount, *lines: dict[str, Any], now: datetime, order_ref: str | None = None
) -> Delivery:
    return deliver_order(
        actor=SYSTEM,
        domain=virtual_account.smart_account.domain,
        virtual_account=virtual_account.name,
        order_ref=order_ref or f"ORDER-{next(_numbers)}",
        lines=lines,
        now=now,
    )


def line(license: License, quantity: int | str = 10, **fields: Any) -> dict[str, Any]:
    return {"entitlementTag": license.tag, "quantity": quantity, **fields}


def make_instance(virtual_account: VirtualAccount, now: datetime) -> ProductInstance:
    number = next(_numbers)
    origin, _ = Origin.objects.get_or_create(name="direct")
    account = {"smart_account_id": virtual_account.smart_account_id, "virtual_account_id": virtual_account.pk}
    return ProductInstance.objects.create(
        origin=origin,
        external_id=str(number),
        piid=uuid.uuid4(),
        udi=f"TEST:{number}",
        software_tag="software",
        ha_group=HaGroup.objects.create(created_at=now, **account),
        state=InstanceState.REGISTERED,
        registered_at=now,
        **account,
    )


def use(instance: ProductInstance, license: License, quantity: int, now: datetime) -> None:
    """As an authorization request does: the record and the delta in one transaction, no lock on any pool."""
    account = {"smart_account_id": instance.smart_account_id, "virtual_account_id": instance.virtual_account_id}
    with transaction.atomic():
        usage = Usage.objects.select_for_update().filter(instance=instance, tag=license.tag).first() or Usage(
            instance=instance, tag=license.tag, ha_group_id=instance.ha_group_id, quantity=0, **account
        )
        change = quantity - usage.quantity
        usage.quantity, usage.license, usage.kind, usage.since = quantity, license, UsageKind.COUNTED, now
        usage.save()
        pool = ensure_pools(licenses=[license], **account)[license.pk]
        record_change(
            virtual_account_id=instance.virtual_account_id, changes=[PoolChange(pool.pk, in_use=change)], now=now
        )


def live(license: License, virtual_account: VirtualAccount, now: datetime) -> Any:
    """The pool with its live figures."""
    return Pool.objects.with_figures(now).get(license=license, virtual_account=virtual_account)
