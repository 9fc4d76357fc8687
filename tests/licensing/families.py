"""The white paper's family of licenses, and reservations as the figures see them."""

from datetime import datetime
from typing import Final

from accounts.models import VirtualAccount
from licensing.models import Hold, License, ProductInstance, PurchaseLine, Reservation
from licensing.services.pools.deltas import PoolChange, record_change
from licensing.services.pools.units import ensure_pools
from licensing.states import InstanceState, ReservationKind, ReservationState
from tests.licensing.stock import import_rows, make_instance

ROWS: Final = (
    "CUWL,entitlement,CUWL,,perpetual,,,,,PREPAID",
    "EPLUS,entitlement,Enhanced Plus,,perpetual,,,,CUWL,PREPAID",
    "ENH,entitlement,Enhanced,,perpetual,,,,EPLUS,PREPAID",
)


def import_cuwl(now: datetime) -> dict[str, License]:
    """CUWL > Enhanced Plus > Enhanced, by tag."""
    import_rows(ROWS, now)
    return {license.tag: license for license in License.objects.all()}


def reserve(
    virtual_account: VirtualAccount, license: License, quantity: int, now: datetime, *, line: PurchaseLine | None = None
) -> None:
    """So much more is reserved there: the record and what it does to the figures, drawn on the line if there is one."""
    account = {"smart_account_id": virtual_account.smart_account_id, "virtual_account_id": virtual_account.pk}
    instance = make_instance(virtual_account, now)
    ProductInstance.objects.filter(pk=instance.pk).update(state=InstanceState.RESERVED)
    reservation = Reservation.objects.create(
        instance=instance,
        kind=ReservationKind.SPECIFIC,
        state=ReservationState.AUTHORIZED,
        request_code=f"request of {instance.udi}",
        sequence="A",
        udi=instance.udi,
        created_at=now,
        state_since=now,
        **account,
    )
    if quantity:
        Hold.objects.create(
            reservation=reservation, license=license, quantity=quantity, line=line, since=now, **account
        )
    pool = ensure_pools(licenses=[license], **account)[license.pk]
    record_change(virtual_account_id=virtual_account.pk, changes=[PoolChange(pool.pk, reserved=quantity)], now=now)
