"""An operator changes which license stands in for another, one at a time."""

import pytest

from accounts.models import Event, User
from cssm.common.errors import Forbidden, Invalid, NotFound
from licensing.models import HierarchyVersion, License, LicenseChange, Pool
from licensing.services.catalog.family_trees import grow_tree, read_versions
from licensing.services.catalog.hierarchy_editing import set_higher
from licensing.services.pools.fold import fold_due
from licensing.services.pools.hierarchy_preview import preview_higher
from licensing.services.pools.rebuild import check_pools
from tests.licensing.families import import_cuwl
from tests.licensing.stock import deliver, line, live, make_instance, make_license, use

pytestmark = pytest.mark.django_db


@pytest.fixture
def cuwl(now):
    return import_cuwl(now)


@pytest.fixture
def change(olivia, actor_of, now):
    def set_(tag, higher):
        return set_higher(actor=actor_of(olivia), tag=tag, higher=higher, now=now)

    return set_


@pytest.fixture
def look(olivia, actor_of, now):
    def preview(tag, higher):
        found = preview_higher(actor=actor_of(olivia), tag=tag, higher=higher, now=now)
        return {
            (e.pool.virtual_account.name, e.pool.license.tag): (e.balance_before, e.balance_after, e.changes_compliance)
            for e in found.effects
        }

    return preview


def balances(now):
    return {
        (pool.virtual_account.name, pool.license.tag): pool.now_balance
        for pool in Pool.objects.with_figures(now).select_related("virtual_account", "license")
    }


def test_a_cleared_higher_license_is_a_new_version_that_accounts_follow(cuwl, change, engineering, now):
    deliver(engineering, line(cuwl["CUWL"], 10), now=now)
    use(make_instance(engineering, now), cuwl["EPLUS"], 3, now)
    fold_due(now=now)
    assert change("EPLUS", "") is True
    assert live(cuwl["EPLUS"], engineering, now).now_balance == 0, "until its turn the account goes on as before"
    fold_due(now=now)
    assert balances(now) == {("Engineering", "CUWL"): 10, ("Engineering", "EPLUS"): -3}
    assert not LicenseChange.objects.exists()
    assert check_pools(now=now) == []
    (event,) = Event.objects.filter(name="catalog.hierarchy_changed")
    assert event.message == "Enhanced Plus: the next higher license is now none; before it was CUWL."


@pytest.mark.parametrize(("tag", "higher"), [("EPLUS", "CUWL"), ("CUWL", "")])
def test_what_is_so_already_writes_nothing(cuwl, change, tag, higher):
    versions = HierarchyVersion.objects.count()
    assert change(tag, higher) is False
    assert HierarchyVersion.objects.count() == versions
    assert not Event.objects.filter(name="catalog.hierarchy_changed").exists()


@pytest.mark.parametrize(
    ("tag", "higher", "cycle"),
    [
        ("CUWL", "ENH", "CUWL (CUWL) → Enhanced (ENH) → Enhanced Plus (EPLUS) → CUWL (CUWL)"),
        ("CUWL", "CUWL", "CUWL (CUWL) → CUWL (CUWL)"),
    ],
)
def test_a_cycle_is_refused_and_named(cuwl, change, look, tag, higher, cycle):
    for ask in (change, look):
        with pytest.raises(Invalid) as refused:
            ask(tag, higher)
        assert refused.value.code == "CYCLE"
        assert cycle in refused.value.message
    assert HierarchyVersion.objects.count() == 1


def test_tags_of_no_license_and_people_without_the_right_are_refused(cuwl, change, alice, actor_of, now):
    with pytest.raises(NotFound):
        change("NONE", "CUWL")
    with pytest.raises(Invalid, match='"NONE"'):
        change("CUWL", "NONE")
    for ask in (set_higher, preview_higher):
        with pytest.raises(Forbidden):
            ask(actor=actor_of(alice), tag="EPLUS", higher="", now=now)


def test_the_preview_says_what_then_happens_in_every_account(
    cuwl, change, look, engineering, default_va, umbrella, now
):
    other = make_license("OTHER", now)
    deliver(engineering, line(cuwl["CUWL"], 10), line(other, 4), now=now)
    deliver(default_va, line(other, 1), now=now)
    use(make_instance(engineering, now), cuwl["ENH"], 12, now)
    use(make_instance(default_va, now), cuwl["CUWL"], 1, now)
    fold_due(now=now)
    # OTHER comes above the whole family, whose two families become one.
    expected = {
        ("Engineering", "OTHER"): (4, 2, False),
        ("Engineering", "ENH"): (-2, 0, True),
        ("DEFAULT", "OTHER"): (1, 0, False),
        ("DEFAULT", "CUWL"): (-1, 0, True),
    }
    before = balances(now)
    assert look("CUWL", "OTHER") == expected
    assert balances(now) == before, "a preview changes nothing"
    change("CUWL", "OTHER")
    fold_due(now=now)
    after = balances(now)
    assert {place: (before[place], after[place]) for place in after if before[place] != after[place]} == {
        place: (was, becomes) for place, (was, becomes, _) in expected.items()
    }
    assert License.objects.values("family").distinct().count() == 1
    assert check_pools(now=now) == []
    # And apart again.
    assert {place: values[:2] for place, values in look("CUWL", "").items()} == {
        place: (becomes, was) for place, (was, becomes, _) in expected.items()
    }
    change("CUWL", "")
    fold_due(now=now)
    assert balances(now) == before
    assert check_pools(now=now) == []


def test_a_version_keeps_no_name_of_who_made_it(change, cuwl, olivia):
    change("ENH", "CUWL")
    family = cuwl["CUWL"].family
    version = HierarchyVersion.objects.latest("number")
    assert (version.actor_kind, version.actor_id, version.actor_label) == ("user", str(olivia.pk), "")
    assert [each.made_by for each in read_versions(family)] == ["Olivia <olivia@portal.example>", "system"]
    User.objects.filter(pk=olivia.pk).delete()
    assert [each.made_by for each in read_versions(family)] == ["[erased]", "system"]


def test_a_family_is_read_as_a_tree_with_the_history_of_its_versions(cuwl, change, now):
    change("ENH", "CUWL")
    family = License.objects.get(tag="CUWL").family
    (top,) = grow_tree(family.licenses.all())
    assert (top.license.tag, [node.license.tag for node in top.lower]) == ("CUWL", ["ENH", "EPLUS"])
    newest, first = read_versions(family)
    assert (newest.number, newest.made_by, newest.at) == (2, "Olivia <olivia@portal.example>", now)
    assert [(c.license.tag, c.before.tag, c.after.tag) for c in newest.changes] == [("ENH", "EPLUS", "CUWL")]
    assert {(c.license.tag, c.before) for c in first.changes} == {("EPLUS", None), ("ENH", None)}
