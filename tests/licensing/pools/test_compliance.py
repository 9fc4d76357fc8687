import random
from datetime import timedelta

import pytest

from licensing.models import Pool, PoolTransition
from licensing.services.pools.compliance import assess
from licensing.services.pools.fold import fold_due
from licensing.states import Compliance
from tests.licensing.stock import deliver, line, make_instance, make_license, use

pytestmark = pytest.mark.django_db

OK, SHORT = Compliance.AUTHORIZED, Compliance.OUT_OF_COMPLIANCE


@pytest.fixture
def router(now):
    return make_license("ROUTER", now)


@pytest.fixture
def switch(now):
    return make_license("SWITCH", now)


def ask(virtual_account, *licenses, now, **changes):
    asked = [license.pk for license in licenses]
    return assess(virtual_account_id=virtual_account.pk, license_ids=asked, now=now, **changes)


def test_the_answer_counts_what_is_not_folded_yet(engineering, router, now):
    deliver(engineering, line(router, 3), now=now)
    assert ask(engineering, router, now=now).statuses == {router.pk: OK}
    use(make_instance(engineering, now), router, 4, now)
    answer = ask(engineering, router, now=now)
    assert (answer.statuses, answer.va_compliant) == ({router.pk: SHORT}, False)
    assert not PoolTransition.objects.exists()


def test_the_answer_counts_the_askers_own_change(engineering, router, now):
    deliver(engineering, line(router, 3), now=now)
    assert ask(engineering, router, now=now, own_changes={router.pk: 3}).va_compliant
    assert not ask(engineering, router, now=now, own_changes={router.pk: 4}).va_compliant


def test_giving_back_can_cure(engineering, router, now):
    use(make_instance(engineering, now), router, 4, now)
    fold_due(now=now)
    assert ask(engineering, router, now=now).statuses == {router.pk: SHORT}
    assert ask(engineering, router, now=now, own_changes={router.pk: -4}).va_compliant


def test_a_shortage_of_another_license_makes_the_virtual_account_short(engineering, default_va, router, switch, now):
    deliver(engineering, line(router, 3), now=now)
    device = make_instance(engineering, now)
    use(device, switch, 1, now)
    for _ in ("pending", "folded"):
        answer = ask(engineering, router, now=now)
        assert (answer.statuses, answer.va_compliant) == ({router.pk: OK}, False)
        assert ask(default_va, now=now).va_compliant
        fold_due(now=now)
    use(device, switch, 0, now)
    assert ask(engineering, router, now=now).va_compliant


def test_a_license_without_a_pool_is_covered_by_nothing(engineering, router, now):
    metered = make_license("METERED", now, billing="USAGE")
    answer = ask(engineering, router, metered, now=now)
    assert (answer.statuses, answer.va_compliant, answer.pools) == ({router.pk: OK, metered.pk: OK}, True, {})
    answer = ask(engineering, router, metered, now=now, own_changes={router.pk: 1, metered.pk: 5})
    assert (answer.statuses, answer.va_compliant) == ({router.pk: SHORT, metered.pk: OK}, False)


def test_a_term_that_ended_is_short_before_any_sweep(engineering, router, switch, now):
    end = now + timedelta(days=1)
    deliver(engineering, line(router, 3, licenseType="TERM", endDate=end.isoformat()), now=now)
    use(make_instance(engineering, now), router, 3, now)
    fold_due(now=now)
    assert ask(engineering, switch, now=end - timedelta(microseconds=1)).va_compliant
    assert not ask(engineering, switch, now=end).va_compliant
    assert ask(engineering, router, now=end).statuses == {router.pk: SHORT}


def test_one_statement_answers(engineering, router, switch, now, django_assert_num_queries):
    deliver(engineering, line(router), line(switch), now=now)
    with django_assert_num_queries(1):
        answer = ask(engineering, router, switch, now=now)
    assert answer.pools == dict(Pool.objects.values_list("license", "pk"))


def test_the_statement_agrees_with_every_other_read(engineering, now):
    """Random lines, use and folds: the hand-written statement and `with_figures` say the same at every moment."""
    chance = random.Random(20260302)
    licenses = [make_license(f"L{n}", now, billing="USAGE" if n == 3 else "PREPAID") for n in range(4)]
    devices = [make_instance(engineering, now) for _ in range(3)]
    for step in range(40):
        moment = now + timedelta(hours=step)
        license = chance.choice(licenses)
        action = chance.choice(("use", "use", "order", "fold"))
        if action == "use":
            use(chance.choice(devices), license, chance.randint(0, 9), moment)
        elif action == "order":
            end = moment + timedelta(hours=chance.randint(1, 10))
            deliver(engineering, line(license, 6, licenseType="TERM", endDate=end.isoformat()), now=moment)
        else:
            fold_due(now=moment)
        pools = {pool.license_id: pool for pool in Pool.objects.with_figures(moment)}
        answer = ask(engineering, *licenses, now=moment)
        assert {pk: answer.statuses[pk].value for pk in pools} == {pk: it.now_status for pk, it in pools.items()}
        assert answer.va_compliant == all(pool.now_status == OK for pool in pools.values())
        assert ask(engineering, now=moment).va_compliant == answer.va_compliant
