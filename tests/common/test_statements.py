"""Changes that are put together: all of them or none, at the end, and as one statement where the engine can."""

import pytest
from django.db import IntegrityError, ProgrammingError, connection, transaction

from accounts.models import VirtualAccount
from cssm.common.compiled import CompiledInsert
from cssm.common.statements import MISSED, after_commit, change, in_one, require

pytestmark = pytest.mark.django_db
ACCOUNTS = CompiledInsert(VirtualAccount)
DESCRIBE = "UPDATE accounts_virtualaccount SET description = %s WHERE id = %s"


LOOK = "SELECT 1 FROM accounts_virtualaccount WHERE id = %s"


class Overtaken(Exception):
    pass


@pytest.fixture
def lab(acme, now):
    return VirtualAccount(smart_account=acme, name="Lab", created_at=now)


def exists(name="Lab"):
    return VirtualAccount.objects.filter(name=name).exists()


def put_together(*changes):
    with in_one():
        for each in changes:
            each()


def describe(text, pk):
    return lambda: change(DESCRIBE, [text, pk], missed=Overtaken)


def look_for(pk):
    return lambda: require(LOOK, [pk], missed=Overtaken)


def add(row):
    return lambda: ACCOUNTS.add(row)


def described(account):
    account.refresh_from_db()
    return account.description


def test_changes_are_made_together_at_the_end(lab, default_va):
    with in_one():
        change(DESCRIBE, ["new", default_va.pk], missed=Overtaken)
        ACCOUNTS.add(lab)
        assert not exists()
    assert (exists(), described(default_va)) == (True, "new")


def test_where_one_misses_its_row_nothing_is_kept_of_the_others_and_all_of_what_was_before(lab, default_va, now):
    store = VirtualAccount(smart_account=lab.smart_account, name="Store", created_at=now)
    with transaction.atomic():
        ACCOUNTS.add(store)
        with pytest.raises(Overtaken):
            put_together(add(lab), describe("new", default_va.pk), describe("new", 0))
    assert (exists(), exists("Store"), described(default_va)) == (False, True, "")


def test_it_is_told_which_of_them_missed_how_many_rows_it_should_hit(acme, lab, default_va, now):
    ids = [default_va.pk, default_va.pk]
    both = "UPDATE accounts_virtualaccount SET description = 'both' WHERE id IN (%s, %s)"
    with pytest.raises(LookupError, match="two of them"):
        put_together(
            describe("new", default_va.pk),
            lambda: change(both, ids, missed=LookupError("two of them"), rows=2),
            add(lab),
        )
    assert (exists(), described(default_va)) == (False, "")


def test_a_miss_of_a_single_change_is_told_too():
    with pytest.raises(Overtaken):
        put_together(describe("new", 0))


def test_what_a_constraint_refuses_is_kept_no_more_than_the_rest(acme, lab, default_va, now):
    again = VirtualAccount(smart_account=acme, name="Lab", created_at=now)
    with pytest.raises(IntegrityError), transaction.atomic():
        put_together(describe("new", default_va.pk), add(lab), add(again))
    assert (exists(), described(default_va)) == (False, "")


def test_nothing_is_changed_where_the_caller_fails_before_the_end(lab):
    def fail():
        raise Overtaken

    with pytest.raises(Overtaken):
        put_together(add(lab), fail)
    assert not exists()


@pytest.mark.django_db(transaction=True)
def test_what_waits_for_the_commit_comes_after_all_changes_and_never_where_they_failed(lab, default_va):
    seen = []
    with in_one():
        after_commit(lambda: seen.append(exists()))
        ACCOUNTS.add(lab)
        assert seen == []
    assert seen == [True]
    with pytest.raises(Overtaken):
        put_together(lambda: after_commit(lambda: seen.append("never")), describe("new", 0))
    assert seen == [True]


def test_keys_cannot_be_asked_for_nor_bundles_be_put_into_each_other(lab):
    with pytest.raises(ProgrammingError):
        put_together(lambda: ACCOUNTS.add(lab, keys=True))
    with pytest.raises(ProgrammingError):
        put_together(lambda: put_together(add(lab)))
    assert not exists()


@pytest.mark.django_db(transaction=True)
def test_it_is_one_statement_where_the_engine_can_and_a_transaction_where_not(
    lab, default_va, django_assert_num_queries
):
    with django_assert_num_queries(1 if connection.vendor == "postgresql" else 4), in_one():
        change(DESCRIBE, ["new", default_va.pk], missed=Overtaken)
        ACCOUNTS.add(lab)
    with django_assert_num_queries(1), in_one():
        change(DESCRIBE, ["newer", default_va.pk], missed=Overtaken)
    with django_assert_num_queries(0), in_one():
        pass


@pytest.mark.parametrize("quoted", ['"missed 12, 0"', "»missed 12, 0«", "« missed 12, 0 »"])
def test_a_miss_is_recognised_in_whatever_language_the_server_tells_it(quoted):
    found = MISSED.search(f"invalid input syntax for type integer: {quoted}")
    assert found
    assert found[1] == "12"


def test_what_is_required_is_looked_at_with_the_changes(lab, default_va):
    with in_one():
        require(LOOK, [default_va.pk], missed=Overtaken)
        ACCOUNTS.add(lab)
    assert exists()


@pytest.mark.parametrize("alone", [True, False])
def test_where_what_is_required_is_not_there_nothing_is_changed(lab, alone):
    with pytest.raises(Overtaken):
        look_for(0)() if alone else put_together(add(lab), look_for(0))
    assert not exists()
