"""Using up under real concurrency: the last license goes to one, and the other is told why."""

import threading
from contextlib import suppress

import pytest

from accounts.services.actors import actor_for_user
from accounts.services.virtual_accounts import create_virtual_account
from cssm.common.clock import read_clock
from cssm.common.errors import Conflict
from licensing.models import Allocation, Pool, PoolUnit, PurchaseLine
from licensing.services.ownership import transfers
from licensing.services.ownership.transfers import TransferLine, transfer_licenses
from licensing.services.pools import fold, units
from licensing.services.pools.fold import fold_due
from licensing.services.pools.rebuild import check_pools
from tests.concurrency.threads import run_at_once
from tests.licensing.stock import deliver, line, make_instance, make_license, use

pytestmark = [pytest.mark.postgresql, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def admin(alice, acme):
    return actor_for_user(alice)


@pytest.fixture
def router(now):
    return make_license("ROUTER", now)


@pytest.mark.parametrize("locked", [True, False])
def test_two_transfers_of_the_last_license_at_once(admin, engineering, default_va, router, now, monkeypatch, locked):
    """One wins, the other is told why. Without the lock both find it free; then only the trigger is left."""
    sales = create_virtual_account(actor=admin, smart_account=engineering.smart_account, name="Sales", now=now)
    # Three lines, one in use twice over: each transfer alone is fine and draws on a line of its own.
    deliver(engineering, line(router, 1), line(router, 1), line(router, 1), now=now)
    use(make_instance(engineering, now), router, 2, now)
    fold_due(now=now)
    both_planned = threading.Barrier(2)
    plan, taken = transfers.make_plan, iter((0, 1))

    def plan_and_wait(*arguments):
        planned = plan(*arguments)
        with suppress(threading.BrokenBarrierError):
            both_planned.wait(timeout=1)
        if not locked:
            # Another line than the other's, as where the quantity is spread: no line is overdrawn.
            other = PurchaseLine.objects.with_remaining().order_by("pk")[next(taken)]
            planned = [(each, [type(draws[0])(other, 1)]) for each, draws in planned]
        return planned

    monkeypatch.setattr(transfers, "make_plan", plan_and_wait)
    if not locked:
        monkeypatch.setattr(transfers, "_lock_accounts", lambda ids: None)
        bare = lambda ids: list(PoolUnit.objects.filter(pk__in=ids).select_related("hierarchy"))  # noqa: E731  one line
        monkeypatch.setattr(units, "lock_units", bare)
        monkeypatch.setattr(fold, "lock_units", bare)

    def attempt(target):
        try:
            transfer_licenses(actor=admin, source=engineering, lines=[TransferLine(router, 1, target)], now=now)
        except Conflict as refused:
            return refused.code
        return None

    outcomes = run_at_once(lambda: attempt(default_va), lambda: attempt(sales))
    assert sorted(outcomes, key=str) == (["NOT_ENOUGH_FREE", None] if locked else [None, None])
    balance = Pool.objects.with_figures(now).get(virtual_account=engineering).now_balance
    assert Allocation.objects.count() == (1 if locked else 2)
    assert (balance >= 0) is locked


def test_transfers_there_and_back_while_products_speak_lose_nothing_and_never_block_each_other(
    admin, engineering, default_va, router, now
):
    switch = make_license("SWITCH", now)
    for account in (engineering, default_va):
        deliver(account, line(router, 50), line(switch, 50), now=now)
    devices = [make_instance(account, now) for account in (engineering, default_va)]

    def shuttle(source, target, first, second):
        for number in range(12):
            lines = [TransferLine(first, 1 + number % 3, target), TransferLine(second, 1, target, number=2)]
            with suppress(Conflict):
                transfer_licenses(actor=admin, source=source, lines=lines, now=read_clock())

    def speak(device):
        for number in range(30):
            use(device, (router, switch)[number % 2], number % 7, read_clock())

    run_at_once(
        lambda: shuttle(engineering, default_va, router, switch),
        lambda: shuttle(default_va, engineering, switch, router),
        lambda: shuttle(engineering, default_va, switch, router),
        lambda: [fold_due(now=read_clock()) for _ in range(20)],
        *(lambda d=d: speak(d) for d in devices),
    )
    fold_due(now=read_clock())
    assert check_pools(now=read_clock()) == []
    owned = PurchaseLine.objects.with_remaining()
    assert sum(it.remaining for it in owned.filter(license=router)) == 100
    assert sum(it.remaining for it in owned.filter(license=switch)) == 100
