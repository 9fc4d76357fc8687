"""What a transfer of reserved products takes along is told beforehand, and is what then happens."""

import pytest

from licensing.models import Pool, ProductInstance
from licensing.services.devices.moving import transfer_instances
from licensing.services.pools.fold import fold_due
from licensing.services.pools.rebuild import check_pools
from licensing.services.reservations.move_preview import preview_moves
from tests.licensing.stock import make_instance, use

pytestmark = pytest.mark.django_db


def standings(now):
    """{(account, tag): (purchased, in use and reserved, balance)}, live."""
    pools = Pool.objects.with_figures(now).select_related("virtual_account", "license")
    return {
        (pool.virtual_account.name, pool.license.tag): (
            pool.now_purchased,
            pool.now_in_use + pool.now_reserved,
            pool.now_balance,
        )
        for pool in pools
    }


def test_a_reservation_moves_with_the_licenses_it_holds_as_the_preview_says(
    reserve, admin, router, switch, engineering, default_va, now
):
    reserve({router: 4, switch: 1})
    user = make_instance(engineering, now)
    use(user, router, 2, now)
    fold_due(now=now)
    instances = list(ProductInstance.objects.select_related("virtual_account").order_by("pk"))
    preview = preview_moves(actor=admin, instances=instances, target=default_va, now=now)
    held = {(row.instance.udi, hold.license.tag): hold.quantity for row in preview.moving for hold in row.held}
    assert sorted(held.values()) == [1, 4]
    told = {
        (row.virtual_account.name, row.license.tag): [
            (standing.purchased, standing.need, standing.balance) for standing in (row.before, row.after)
        ]
        for row in preview.outlook
    }
    assert told[("Engineering", "ROUTER")] == [(10, 6, 4), (6, 0, 6)]
    assert told[("DEFAULT", "ROUTER")] == [(0, 0, 0), (4, 6, -2)]
    before = standings(now)
    assert {place: rows[0] for place, rows in told.items()} == {place: before.get(place, (0, 0, 0)) for place in told}
    moves = transfer_instances(actor=admin, instances=instances, target=default_va, now=now)
    assert [move.error for move in moves] == [None, None]
    fold_due(now=now)
    assert standings(now) == {place: rows[1] for place, rows in told.items()}
    assert check_pools(now=now) == []
