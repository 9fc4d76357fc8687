"""The same lines of one product asked for by many at once."""

import threading

import pytest

from licensing.codecs.conversion import make_line
from licensing.models import Conversion, ConvertedLine, Pool, PurchaseLine
from licensing.services.exchange import conversions, converting
from licensing.services.exchange.conversions import Place, Product, begin_conversion, carry_out, carry_out_due
from licensing.services.pools.rebuild import check_pools
from licensing.states.conversions import ConversionSource, ConversionState
from tests.concurrency.threads import run_at_once
from tests.licensing.stock import make_license

pytestmark = [pytest.mark.postgresql, pytest.mark.django_db(transaction=True)]

ASKING = 6


@pytest.fixture(autouse=True)
def _catalog(now):
    make_license("ROUTER", now)
    for number in range(ASKING):
        make_license(f"OWN-{number}", now)


def begin(engineering, *lines, now):
    return begin_conversion(
        actor=conversions.Actor.product("7f1c6a0e-0b0f-4d5e-9d2b-2f3f1f3c9a10"),
        place=Place(engineering.smart_account_id, engineering.pk),
        product=Product("C9300:FCW7", "C9300", "FCW7"),
        lines=[make_line("TRUST_BASED", tag, count) for tag, count in lines],
        source=ConversionSource.DEVICE,
        now=now,
    ).pk


def several(engineering, now):
    """Conversions of one product that have the routers in common."""
    return [begin(engineering, (f"OWN-{n}", 1), ("ROUTER", 5), now=now) for n in range(ASKING)]


def routers():
    return sum(PurchaseLine.objects.filter(license__tag="ROUTER").values_list("quantity", flat=True))


def test_a_line_in_several_conversions_at_once_is_converted_once(engineering, now):
    ids = several(engineering, now)
    run_at_once(*(lambda pk=pk: carry_out(conversion_ids=[pk], now=now) for pk in ids))
    assert {row.state for row in Conversion.objects.all()} == {ConversionState.COMPLETED}
    assert routers() == Pool.objects.get(license__tag="ROUTER").purchased == 5
    assert PurchaseLine.objects.count() == ASKING + 1
    assert check_pools(now=now) == []


def test_it_would_be_converted_by_each_if_looking_first_were_all(engineering, now, monkeypatch):
    """The control: everyone looks, sees no such line, and then writes."""
    everyone_looked = threading.Barrier(ASKING)

    def look_first(row, *, is_live, now):
        lines = list(row.lines.order_by("number"))
        converting._find_licenses(lines)
        known = set(ConvertedLine.objects.filter(udi=row.udi).values_list("key", flat=True))
        everyone_looked.wait(timeout=10)
        return [line for line in lines if line.key not in known]

    monkeypatch.setattr(converting, "_take_lines", look_first)
    # The lock on the Virtual Account alone would line them up.
    monkeypatch.setattr(
        type(converting.VirtualAccount.objects.all()), "select_for_update", lambda self, **_: self.all(), raising=False
    )
    ids = several(engineering, now)
    run_at_once(*(lambda pk=pk: carry_out(conversion_ids=[pk], now=now) for pk in ids))
    assert routers() == ASKING * 5


def test_one_conversion_drained_by_many_sweeps_is_carried_out_once(engineering, now):
    begin(engineering, ("ROUTER", 5), now=now)
    assert sorted(run_at_once(*[lambda: carry_out_due(now=now)] * ASKING)) == [0] * (ASKING - 1) + [1]
    assert routers() == 5


def test_the_same_asked_for_at_once_waits_once(engineering, now):
    ids = run_at_once(*[lambda: begin(engineering, ("ROUTER", 5), now=now)] * ASKING)
    assert len(set(ids)) == Conversion.objects.count() == 1
