"""A compiled read gives what the query gives, on either engine."""

import uuid
from datetime import UTC, datetime, timedelta
from itertools import product

import pytest

from accounts.models import Event, SmartAccount, VirtualAccount
from accounts.services.events import record_event
from cssm.common.actor import SYSTEM
from cssm.common.compiled import CompiledInsert, CompiledModels, CompiledRead, CompiledTogether, CompiledUpdate

BY_UUID = CompiledRead(
    lambda: VirtualAccount.objects.filter(uuid=uuid.UUID(int=0)).values_list(
        "uuid", "created_at", "is_default", "deleted_at", "smart_account__domain"
    )
)
BY_SUBJECT = CompiledRead(
    lambda: Event.objects.filter(subject_id="").filter(name="").values_list("data", "at", "digest")
)

WITH_ACCOUNT = CompiledModels(
    lambda: VirtualAccount.objects.select_related("smart_account").filter(name="").order_by("pk")
)
LIVE_SINCE = CompiledRead(
    lambda: (
        VirtualAccount.objects.filter(created_at__lte=datetime.max.replace(tzinfo=UTC)).order_by("pk").values_list("pk")
    )
)
TOGETHER = CompiledTogether(WITH_ACCOUNT, BY_UUID, LIVE_SINCE)
NEW = CompiledInsert(VirtualAccount)
RENAME = CompiledUpdate(VirtualAccount, "name", "deleted_at")


@pytest.mark.parametrize("_", range(2))
def test_uuids_moments_and_booleans_come_back_as_such(default_va, acme, _):
    expected = [default_va.uuid, default_va.created_at, True, None, acme.domain]
    assert BY_UUID.fetch(default_va.uuid) == [expected]
    assert BY_UUID.fetch(uuid.uuid4()) == []


def test_two_parameters_stand_in_the_order_of_the_query(acme: SmartAccount, now):
    record_event(
        actor=SYSTEM,
        name="account.renamed",
        smart_account=acme,
        subject_type="smart_account",
        subject_id="x",
        data={"before": ["a"], "after": {"b": 1}},
        now=now + timedelta(seconds=1),
    )
    assert BY_SUBJECT.fetch("x", "account.renamed") == [
        [{"before": ["a"], "after": {"b": 1}}, now + timedelta(seconds=1), None]
    ]
    assert BY_SUBJECT.fetch("account.renamed", "x") == []


@pytest.mark.parametrize("_", range(2))
def test_models_come_whole_with_what_is_selected_beside_them(default_va, acme, django_assert_num_queries, _):
    with django_assert_num_queries(1):
        found = WITH_ACCOUNT.first(default_va.name)
        assert found == default_va
        assert found.smart_account.domain == acme.domain
    values = {field.attname: getattr(default_va, field.attname) for field in VirtualAccount._meta.concrete_fields}
    assert {name: getattr(found, name) for name in values} == values
    found.save()  # it is known to be stored
    assert WITH_ACCOUNT.first("no such name") is None


def test_a_moment_can_be_a_parameter(default_va, now):
    assert [default_va.pk] in LIVE_SINCE.fetch(default_va.created_at)
    assert [default_va.pk] not in LIVE_SINCE.fetch(default_va.created_at - timedelta(microseconds=1))


@pytest.mark.parametrize(("is_named", "is_known", "is_live"), list(product([True, False], repeat=3)))
def test_several_reads_are_one_statement_whatever_is_missing(
    default_va, acme, umbrella, django_assert_num_queries, is_named, is_known, is_live
):
    uid = default_va.uuid if is_known else uuid.uuid4()
    since = default_va.created_at - (timedelta(0) if is_live else timedelta(microseconds=1))
    TOGETHER.first(["of both engines"], [uuid.uuid4()], [since])
    with django_assert_num_queries(1):
        found, row, live = TOGETHER.first([default_va.name if is_named else "no such name"], [uid], [since])
        assert (found and found.smart_account.domain) == (acme.domain if is_named else None)
    assert found == (default_va if is_named else None)
    assert row == ([default_va.uuid, default_va.created_at, True, None, acme.domain] if is_known else None)
    # Of several rows it is the first in the order of the query.
    assert VirtualAccount.objects.filter(created_at__lte=default_va.created_at).count() > 1
    assert live == ([VirtualAccount.objects.order_by("pk")[0].pk] if is_live else None)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_new_rows_are_stored_in_one_statement_and_know_their_keys(acme, now, django_assert_num_queries, count):
    rows = [VirtualAccount(smart_account=acme, name=f"Lab {n}", created_at=now) for n in range(count)]
    with django_assert_num_queries(1):
        NEW.add(*rows)
    for row in rows:
        assert VirtualAccount.objects.get(pk=row.pk).name == row.name
        row.save()


def test_an_update_writes_the_named_fields_of_one_row(default_va, engineering, now):
    engineering.name, engineering.description, engineering.deleted_at = "Renamed", "not written", now
    RENAME.save(engineering)
    stored = VirtualAccount.objects.get(pk=engineering.pk)
    assert (stored.name, stored.description, stored.deleted_at) == ("Renamed", "", now)
    assert VirtualAccount.objects.get(pk=default_va.pk).name == default_va.name
