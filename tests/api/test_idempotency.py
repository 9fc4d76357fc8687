"""`Idempotency-Key`: one effect and one answer, whatever the network does."""

import threading
from datetime import timedelta

import pytest
import time_machine
from django.db import connection, connections

from accounts.models import SmartAccount, VirtualAccount
from cssm.common.clock import read_clock
from cssm.common.errors import Conflict
from cssm.common.idempotency import purge_expired_answers
from cssm.common.models import IdempotentAnswer
from cssm.common.permissions import Role
from tests.api.conftest import Caller

PATH = "/v1/accounts/acme.example/virtual-accounts"


def count(name: str) -> int:
    return VirtualAccount.objects.filter(name=name).count()


def test_a_repeated_call_gets_the_same_answer_and_has_no_second_effect(admin: Caller):
    first = admin.post(PATH, {"name": "Lab"}, key="k1")
    second = admin.post(PATH, {"name": "Lab"}, key="k1")
    assert first.status_code == second.status_code == 200
    assert first.content == second.content
    assert "Idempotent-Replayed" not in first.headers
    assert second.headers["Idempotent-Replayed"] == "true"
    assert second.headers["Content-Type"] == "application/json"
    assert count("Lab") == 1


def test_without_a_key_the_second_call_meets_the_first_ones_effect(admin: Caller):
    admin.post(PATH, {"name": "Lab"})
    answer = admin.post(PATH, {"name": "Lab"})
    assert (answer.status_code, answer.json()["code"]) == (409, "NAME_TAKEN")


def test_another_body_under_the_same_key_is_refused(admin: Caller):
    admin.post(PATH, {"name": "Lab"}, key="k1")
    answer = admin.post(PATH, {"name": "Other"}, key="k1")
    assert (answer.status_code, answer.json()["code"]) == (422, "IDEMPOTENCY_KEY_REUSED")
    assert count("Other") == 0


def test_a_key_belongs_to_one_client_and_one_path(admin: Caller, caller_for, acme: SmartAccount):
    other = caller_for(Role.SA_ADMIN)
    assert admin.post(PATH, {"name": "Lab"}, key="k1").status_code == 200
    assert other.post(PATH, {"name": "Lab"}, key="k1").status_code == 409
    assert admin.post(PATH + "/Lab/delete", key="k1").status_code == 200


def test_a_refusal_that_would_come_again_is_kept_and_its_effect_is_not(admin: Caller):
    VirtualAccount.objects.create(smart_account=SmartAccount.objects.get(), name="Lab", created_at=read_clock())
    first = admin.post(PATH, {"name": "Lab"}, key="k1")
    assert first.status_code == 409
    VirtualAccount.objects.filter(name="Lab").delete()
    second = admin.post(PATH, {"name": "Lab"}, key="k1")
    assert (second.status_code, second.content) == (409, first.content)
    assert count("Lab") == 0


def test_a_refusal_takes_back_what_was_done_before_it(admin: Caller, monkeypatch):
    def refuse(row: VirtualAccount) -> dict[str, str]:
        raise Conflict("Too late.")

    monkeypatch.setattr("accounts.api.virtual_accounts.show_virtual_account", refuse)
    assert admin.post(PATH, {"name": "Lab"}, key="k1").status_code == 409
    assert count("Lab") == 0
    monkeypatch.undo()
    assert admin.post(PATH, {"name": "Lab"}, key="k1").status_code == 409


def test_bad_json_is_kept_as_the_refusal_it_is(admin: Caller):
    assert admin.post(PATH, raw=b"{", key="k1").status_code == 400
    assert admin.post(PATH, raw=b"{", key="k1").headers["Idempotent-Replayed"] == "true"


def test_a_missing_right_is_not_kept(viewer: Caller):
    assert viewer.post(PATH, {"name": "Lab"}, key="k1").status_code == 403
    assert IdempotentAnswer.objects.count() == 0


def test_a_fault_of_ours_is_not_kept_and_takes_its_effect_with_it(admin: Caller, monkeypatch):
    monkeypatch.setattr("accounts.api.virtual_accounts.show_virtual_account", lambda row: 1 / 0)
    caller = Caller(admin.token)
    answer = caller.post(PATH, {"name": "Lab"}, key="k1", raise_request_exception=False)
    assert (answer.status_code, answer.json()["code"]) == (500, "INTERNAL")
    assert "ZeroDivision" not in answer.content.decode()
    assert count("Lab") == 0
    monkeypatch.undo()
    assert admin.post(PATH, {"name": "Lab"}, key="k1").status_code == 200


def test_what_is_stored_cannot_be_read_in_the_database(admin: Caller):
    admin.post(PATH, {"name": "Lab-with-a-secret"}, key="k1")
    stored = bytes(IdempotentAnswer.objects.get().answer or b"")
    assert b"Lab-with-a-secret" not in stored
    assert len(stored) > 40


def test_after_a_day_the_key_is_free_again(admin: Caller):
    admin.post(PATH, {"name": "Lab"}, key="k1")
    with time_machine.travel(read_clock() + timedelta(hours=24, seconds=1), tick=False):
        caller = Caller(admin.token)
        assert caller.post(PATH, {"name": "Lab"}, key="k1").status_code == 401  # the token is long gone
        assert purge_expired_answers(now=read_clock()) == 1


def test_an_expired_answer_does_not_stand_in_the_way_before_the_sweep(admin: Caller):
    admin.post(PATH, {"name": "Lab"}, key="k1")
    IdempotentAnswer.objects.update(expires_at=read_clock())
    answer = admin.post(PATH, {"name": "Lab"}, key="k1")
    assert (answer.status_code, answer.json()["code"]) == (409, "NAME_TAKEN")


@pytest.mark.parametrize("key", ["", "x" * 256, "ключ", "tab\tinside"])
def test_a_key_that_is_none_is_refused(admin: Caller, key: str):
    answer = admin.post(PATH, {"name": "Lab"}, key=key)
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, "Idempotency-Key")
    assert count("Lab") == 0


def send_in_parallel(caller: Caller, number: int, key: str | None) -> list[int]:
    barrier = threading.Barrier(number)
    statuses: list[int] = []

    def send() -> None:
        try:
            barrier.wait()
            statuses.append(caller.post(PATH, {"name": "Lab"}, key=key).status_code)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=send) for _ in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sorted(statuses)


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_of_parallel_calls_one_works_and_all_get_its_answer(admin: Caller):
    assert send_in_parallel(admin, 6, "k1") == [200] * 6
    assert count("Lab") == 1


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_without_the_key_only_one_of_the_parallel_calls_succeeds(admin: Caller):
    """The positive control: the calls do meet."""
    assert send_in_parallel(admin, 6, None) == [200, *[409] * 5]


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_a_second_that_waited_too_long_is_told_so(admin: Caller, monkeypatch):
    monkeypatch.setattr("cssm.common.idempotency.WAIT_SECONDS", 0.2)
    inside, leave = threading.Event(), threading.Event()

    def slow(row: VirtualAccount) -> dict[str, str]:
        inside.set()
        leave.wait(20)
        return {"name": row.name}

    monkeypatch.setattr("accounts.api.virtual_accounts.show_virtual_account", slow)
    first: list[int] = []

    def send() -> None:
        try:
            first.append(admin.post(PATH, {"name": "Lab"}, key="k1").status_code)
        finally:
            connections.close_all()

    thread = threading.Thread(target=send)
    thread.start()
    assert inside.wait(20)
    try:
        answer = admin.post(PATH, {"name": "Lab"}, key="k1")
    finally:
        leave.set()
        thread.join()
    assert (answer.status_code, answer.json()["code"]) == (409, "IDEMPOTENCY_IN_PROGRESS")
    assert first == [200]
    with connection.cursor() as cursor:
        cursor.execute("SHOW lock_timeout")
        assert cursor.fetchone() == ("0",)
