"""A compiled read gives what the query gives, on either engine."""

import uuid
from datetime import timedelta

import pytest

from accounts.models import Event, SmartAccount, VirtualAccount
from accounts.services.events import record_event
from cssm.common.actor import SYSTEM
from cssm.common.compiled import CompiledRead

BY_UUID = CompiledRead(
    lambda: VirtualAccount.objects.filter(uuid=uuid.UUID(int=0)).values_list(
        "uuid", "created_at", "is_default", "deleted_at", "smart_account__domain"
    )
)
BY_SUBJECT = CompiledRead(
    lambda: Event.objects.filter(subject_id="").filter(name="").values_list("data", "at", "digest")
)


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
