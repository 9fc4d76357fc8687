"""Substitution: a higher license stands in for a lower one that runs short."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cssm.common.errors import Invalid
from licensing.models import HierarchyVersion, License, Pool, PoolTransition, PoolUnit
from licensing.querysets.loans import Loan, add_up, settle_loans
from licensing.services.pools.compliance import assess
from licensing.services.pools.fold import fold_due
from licensing.services.pools.rebuild import check_pools
from licensing.states import Compliance
from tests.licensing.stock import deliver, import_rows, line, live, make_instance, make_license, use

CHAIN = {3: 2, 2: 1}


@pytest.mark.parametrize(
    ("positions", "higher", "loans"),
    [
        ({1: 90, 2: -50}, CHAIN, [Loan(1, 2, 50)]),
        ({1: 10, 2: 0, 3: -4}, CHAIN, [Loan(1, 3, 4)]),
        ({1: 10, 2: 3, 3: -5}, CHAIN, [Loan(2, 3, 3), Loan(1, 3, 2)]),
        ({1: 4, 2: -3, 3: -3}, CHAIN, [Loan(1, 2, 3), Loan(1, 3, 1)]),
        ({1: 5, 2: -3, 3: -4}, {2: 1, 3: 1}, [Loan(1, 2, 3), Loan(1, 3, 2)]),
        ({1: -2, 2: 7}, CHAIN, []),
        ({1: 5, 3: -1}, CHAIN, [Loan(1, 3, 1)]),
        ({1: 0, 2: -1}, CHAIN, []),
        ({1: 5, 2: -1}, {}, []),
    ],
)
def test_each_covers_itself_first_and_then_lends_downwards_nearest_first(positions, higher, loans):
    assert settle_loans(positions, higher) == loans


@st.composite
def families(draw):
    size = draw(st.integers(1, 7))
    higher = {}
    for number in range(2, size + 1):
        above = draw(st.integers(0, number - 1))
        if above:
            higher[number] = above
    positions = {number: draw(st.integers(-20, 20)) for number in range(1, size + 1)}
    return positions, higher


def ancestors(number, higher):
    while (number := higher.get(number)) is not None:
        yield number


def most_that_can_be_covered(positions, higher):
    """By maximal flow, one unit after the other along augmenting paths: slow, and another way of thinking."""
    left = {number: max(0, position) for number, position in positions.items()}
    given_to: dict[int, list[int]] = {}

    def find(borrower, seen):
        for lender in ancestors(borrower, higher):
            if lender in seen:
                continue
            seen.add(lender)
            if left[lender]:
                left[lender] -= 1
                given_to.setdefault(lender, []).append(borrower)
                return True
            for other in given_to.get(lender, []):
                if other != borrower and find(other, seen):
                    given_to[lender].remove(other)
                    given_to[lender].append(borrower)
                    return True
        return False

    return sum(find(number, set()) for number, position in positions.items() for _ in range(max(0, -position)))


@given(families())
def test_as_much_is_covered_as_can_be_and_nobody_lends_what_they_need(family):
    positions, higher = family
    loans = settle_loans(positions, higher)
    borrowed, lent = add_up(loans)
    assert all(loan.lender in ancestors(loan.borrower, higher) for loan in loans)
    assert all(lent[number] <= positions[number] for number in lent)
    assert all(borrowed[number] <= -positions[number] for number in borrowed)
    assert sum(borrowed.values()) == sum(lent.values()) == most_that_can_be_covered(positions, higher)


@pytest.fixture
def cuwl(db, now):
    """CUWL > ENHANCED_PLUS > ENHANCED, and BASIC > ENHANCED's sibling below ENHANCED_PLUS."""
    import_rows(
        [
            "CUWL,entitlement,CUWL,,perpetual,,,,,PREPAID",
            "EPLUS,entitlement,Enhanced Plus,,perpetual,,,,CUWL,PREPAID",
            "ENH,entitlement,Enhanced,,perpetual,,,,EPLUS,PREPAID",
            "BASIC,entitlement,Basic,,perpetual,,,,EPLUS,PREPAID",
        ],
        now,
    )
    return {license.tag: license for license in License.objects.all()}


def figures(virtual_account, now):
    """{tag: (purchased, in use, borrowed, lent, balance)}, live."""
    pools = Pool.objects.filter(virtual_account=virtual_account).with_figures(now).select_related("license")
    return {
        pool.license.tag: (pool.now_purchased, pool.now_in_use, pool.now_borrowed, pool.now_lent, pool.now_balance)
        for pool in pools
    }


@pytest.mark.django_db
@pytest.mark.parametrize("folded", [True, False])
def test_100_owned_10_and_50_used_gives_50_lent_and_40_left(cuwl, engineering, now, folded):
    device = make_instance(engineering, now)
    deliver(engineering, line(cuwl["CUWL"], 100), now=now)
    use(device, cuwl["CUWL"], 10, now)
    use(device, cuwl["EPLUS"], 50, now)
    if folded:
        fold_due(now=now)
    assert figures(engineering, now) == {"CUWL": (100, 10, 0, 50, 40), "EPLUS": (0, 50, 50, 0, 0)}
    fold_due(now=now)
    assert not PoolTransition.objects.exists()
    assert check_pools(now=now) == []


@pytest.mark.django_db
def test_a_shortage_beyond_the_family_is_short_by_what_nobody_covers(cuwl, engineering, now):
    device = make_instance(engineering, now)
    deliver(engineering, line(cuwl["CUWL"], 10), line(cuwl["EPLUS"], 5), now=now)
    use(device, cuwl["ENH"], 12, now)
    use(device, cuwl["BASIC"], 7, now)
    fold_due(now=now)
    assert figures(engineering, now) == {
        "CUWL": (10, 0, 0, 10, 0),
        "EPLUS": (5, 0, 0, 5, 0),
        "ENH": (0, 12, 12, 0, 0),
        "BASIC": (0, 7, 3, 0, -4),
    }
    assert PoolTransition.objects.get().balance == -4
    assert check_pools(now=now) == []


@pytest.mark.django_db
def test_what_ends_is_lent_no_more_from_that_instant_on(cuwl, engineering, now):
    device = make_instance(engineering, now)
    end = now + timedelta(days=1)
    deliver(engineering, line(cuwl["CUWL"], 10, licenseType="TERM", endDate=end.isoformat()), now=now)
    use(device, cuwl["ENH"], 4, now)
    fold_due(now=now)
    assert figures(engineering, now)["ENH"] == (0, 4, 4, 0, 0)
    assert figures(engineering, end) == {"CUWL": (0, 0, 0, 0, 0), "ENH": (0, 4, 0, 0, -4)}
    fold_due(now=end)
    assert PoolTransition.objects.get().cause == "term"
    assert check_pools(now=end) == []


@pytest.mark.django_db
@pytest.mark.parametrize("folded", [True, False])
def test_a_product_is_told_what_its_own_change_makes_of_the_family(cuwl, engineering, now, folded):
    device = make_instance(engineering, now)
    deliver(engineering, line(cuwl["CUWL"], 10), now=now)
    use(device, cuwl["EPLUS"], 6, now)
    if folded:
        fold_due(now=now)

    def ask(**growth):
        changes = {cuwl[tag].pk: quantity for tag, quantity in growth.items()}
        answer = assess(virtual_account_id=engineering.pk, license_ids=changes, own_changes=changes, now=now)
        return answer.va_compliant, {tag: answer.statuses[cuwl[tag].pk] for tag in growth}

    assert ask(ENH=4) == (True, {"ENH": Compliance.AUTHORIZED})
    assert ask(ENH=5) == (False, {"ENH": Compliance.OUT_OF_COMPLIANCE})
    # More direct use of the lender takes it from the nearest borrower, which is what runs short.
    assert ask(CUWL=4) == (True, {"CUWL": Compliance.AUTHORIZED})
    assert ask(CUWL=5) == (False, {"CUWL": Compliance.AUTHORIZED})
    assert ask(EPLUS=-6, BASIC=10) == (True, {"EPLUS": Compliance.AUTHORIZED, "BASIC": Compliance.AUTHORIZED})


@pytest.mark.django_db
def test_what_is_billed_by_usage_neither_borrows_nor_lends(cuwl, engineering, now):
    import_rows(["CUWL,entitlement,CUWL,,perpetual,,,,,USAGE"], now)
    fold_due(now=now)
    deliver(engineering, line(cuwl["CUWL"], 10), now=now)
    use(make_instance(engineering, now), cuwl["EPLUS"], 1, now)
    fold_due(now=now)
    assert figures(engineering, now)["EPLUS"] == (0, 1, 0, 0, -1)
    assert check_pools(now=now) == []


@pytest.mark.django_db
def test_a_new_version_of_the_hierarchy_reaches_the_pools_one_account_after_the_other(cuwl, engineering, now):
    device = make_instance(engineering, now)
    deliver(engineering, line(cuwl["CUWL"], 10), now=now)
    use(device, cuwl["BASIC"], 3, now)
    fold_due(now=now)
    assert PoolUnit.objects.get().hierarchy.number == 1
    import_rows(["BASIC,entitlement,Basic,,perpetual,,,,,PREPAID"], now)
    # Until its turn an account goes on by the version it has: no figure changes in between.
    assert figures(engineering, now)["BASIC"] == (0, 3, 3, 0, 0)
    fold_due(now=now)
    assert figures(engineering, now) == {"CUWL": (10, 0, 0, 0, 10), "BASIC": (0, 3, 0, 0, -3)}
    assert [(t.new, t.cause) for t in PoolTransition.objects.all()] == [("out_of_compliance", "catalog")]
    assert sorted(HierarchyVersion.objects.values_list("number", flat=True)) == [1, 2]
    assert check_pools(now=now) == []
    import_rows(["BASIC,entitlement,Basic,,perpetual,,,,EPLUS,PREPAID"], now)
    fold_due(now=now)
    assert figures(engineering, now)["BASIC"] == (0, 3, 3, 0, 0)
    assert check_pools(now=now) == []


@pytest.mark.django_db
def test_a_hierarchy_with_a_cycle_is_refused_and_leaves_everything_as_it_was(cuwl, now):
    with pytest.raises(Invalid, match="higher than each other"):
        import_rows(["CUWL,entitlement,CUWL,,perpetual,,,,BASIC,PREPAID"], now)
    assert HierarchyVersion.objects.count() == 1


@pytest.mark.django_db
def test_another_account_lends_nothing(cuwl, engineering, default_va, now):
    deliver(default_va, line(cuwl["CUWL"], 100), now=now)
    use(make_instance(engineering, now), cuwl["EPLUS"], 1, now)
    fold_due(now=now)
    assert figures(engineering, now)["EPLUS"] == (0, 1, 0, 0, -1)


@pytest.mark.django_db
def test_a_wrong_loan_is_found(cuwl, engineering, now):
    deliver(engineering, line(cuwl["CUWL"], 100), now=now)
    use(make_instance(engineering, now), cuwl["EPLUS"], 5, now)
    fold_due(now=now)
    Pool.objects.filter(license=cuwl["CUWL"]).update(lent=4)
    assert {(d.tag, d.figure, d.stored, d.recorded) for d in check_pools(now=now)} == {("CUWL", "lent", 4, 5)}


@pytest.mark.django_db
def test_a_license_of_a_family_of_one_costs_no_further_query(engineering, now, django_assert_num_queries):
    router = make_license("ROUTER", now)
    use(make_instance(engineering, now), router, 1, now)
    with django_assert_num_queries(1):
        assess(virtual_account_id=engineering.pk, license_ids=[router.pk], own_changes={router.pk: 1}, now=now)
    assert live(router, engineering, now).now_borrowed == 0
