"""The log is recorded, sealed, verified, and what is personal in it can be erased."""

import json
from datetime import timedelta

import pytest
from django.core.management import call_command

from accounts.models import Event, EventLogHead, EventPersonal
from accounts.services.events import erase_personal_values, record_event, seal_events, verify_log
from accounts.services.members import add_member
from accounts.services.virtual_accounts import change_virtual_account
from accounts.states import register_events, render_event
from cssm.common.actor import SYSTEM, Actor
from cssm.common.errors import Forbidden
from cssm.common.permissions import Role
from tests.tampering import tamper


def note(smart_account, now, **changes):
    arguments = {
        "actor": SYSTEM,
        "name": "account.renamed",
        "smart_account": smart_account,
        "subject_type": "smart_account",
        "subject_id": 1,
        "data": {"before": "a", "after": "b"},
        "now": now,
        **changes,
    }
    record_event(**arguments)
    return Event.objects.unsealed().latest("pk")


@pytest.fixture
def log(acme, umbrella, now):
    """Two sealed logs, one of seven events in several batches."""
    for number in range(6):
        note(acme, now, data={"before": str(number), "after": "x"}, personal={"user": f"u{number}@acme.example"})
    seal_events(now=now)
    assert verify_log(now=now).holds
    return list(Event.objects.filter(smart_account=acme).order_by("position"))


def problems(now):
    return " ".join(verify_log(now=now).problems)


def test_every_chain_starts_at_one_and_has_no_gap(log, acme, umbrella, now):
    assert [event.position for event in log] == list(range(1, 8))
    assert Event.objects.get(smart_account=umbrella).position == 1
    assert seal_events(now=now) == 0


def test_batches_join_to_one_chain(acme, now, monkeypatch):
    monkeypatch.setattr("accounts.services.events.sealing.BATCH", 2)
    for _ in range(5):
        note(acme, now)
    assert seal_events(now=now) == 7
    note(acme, now)
    seal_events(now=now)
    report = verify_log(now=now)
    assert (report.sealed, report.logs, report.problems) == (8, 2, [])


def test_a_row_that_commits_late_is_sealed_all_the_same(acme, now):
    """Its id is lower than that of events sealed before it: a watermark would miss it."""
    seal_events(now=now)
    early_id = note(acme, now).pk
    tamper("UPDATE accounts_event SET id = id + 1000 WHERE id = %s", early_id)
    assert seal_events(now=now) == 1
    tamper("UPDATE accounts_event SET id = %s WHERE id = %s", early_id, note(acme, now).pk)
    assert seal_events(now=now) == 1
    assert Event.objects.get(pk=early_id).position == 3
    assert verify_log(now=now).holds


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("name", "account.created"),
        ("subject_id", "2"),
        ("actor_kind", "user"),
        ("actor_label", "someone else"),
        ("data", '{"before": "0", "after": "y"}'),
        ("personal_digests", "{}"),
        ("virtual_account_id", None),
        ("at", "2020-01-01 00:00:00+00:00"),
    ],
)
def test_an_edited_event_is_noticed(log, now, column, value, default_va):
    if column == "virtual_account_id":
        value = default_va.pk
    tamper(f'UPDATE accounts_event SET "{column}" = %s WHERE id = %s', value, log[2].pk)  # noqa: S608  column is ours
    assert f"event {log[2].pk} at position 3" in problems(now)


def test_a_deleted_event_is_noticed(log, now):
    tamper("DELETE FROM accounts_eventpersonal WHERE event_id = %s", log[3].pk)
    tamper("DELETE FROM accounts_event WHERE id = %s", log[3].pk)
    assert "sealed events 4 to 4 are missing" in problems(now)


def test_an_event_put_in_between_is_noticed(log, acme, now):
    forged = note(acme, now)
    tamper("UPDATE accounts_event SET position = position + 100 WHERE smart_account_id = %s AND position > 3", acme.pk)
    tamper("UPDATE accounts_event SET position = position - 99 WHERE smart_account_id = %s AND position > 100", acme.pk)
    tamper("UPDATE accounts_event SET position = 4, digest = %s WHERE id = %s", bytes(log[3].digest), forged.pk)
    assert f"event {forged.pk} at position 4 does not fit" in problems(now)


def test_two_events_that_changed_places_are_noticed(log, now):
    tamper("UPDATE accounts_event SET position = 999 WHERE id = %s", log[2].pk)
    tamper("UPDATE accounts_event SET position = 3 WHERE id = %s", log[3].pk)
    tamper("UPDATE accounts_event SET position = 4 WHERE id = %s", log[2].pk)
    assert "at position 3" in problems(now)


def test_a_log_cut_short_is_noticed(log, now):
    for event in log[5:]:
        tamper("DELETE FROM accounts_eventpersonal WHERE event_id = %s", event.pk)
        tamper("DELETE FROM accounts_event WHERE id = %s", event.pk)
    assert "sealed events 6 to 7 are missing at the end" in problems(now)


def test_a_whole_log_removed_is_noticed(log, umbrella, now):
    tamper("DELETE FROM accounts_eventpersonal WHERE event_id IN (SELECT id FROM accounts_event)")
    tamper("DELETE FROM accounts_event WHERE smart_account_id = %s", umbrella.pk)
    assert f"account:{umbrella.pk}: sealed events 1 to 1 are missing" in problems(now)


def test_a_removed_head_and_a_wrong_one_are_noticed(log, acme, umbrella, now):
    EventLogHead.objects.filter(log=f"account:{acme.pk}").delete()
    EventLogHead.objects.filter(log=f"account:{umbrella.pk}").update(digest=b"x" * 32)
    found = problems(now)
    assert f"account:{acme.pk}: 7 events are sealed beyond the recorded end" in found
    assert f"account:{umbrella.pk}: the end of the log does not fit" in found


def test_a_changed_personal_value_is_noticed(log, now):
    tamper('UPDATE accounts_eventpersonal SET "values" = %s WHERE event_id = %s', '{"user": "x"}', log[2].pk)
    assert f"personal values of event {log[2].pk}" in problems(now)


def test_erasing_personal_values_leaves_the_chain_whole(log, acme, alice, bob, olivia, actor_of, now):
    add_member(actor=actor_of(alice), smart_account=acme, email="x@acme.example", role=Role.SA_USER, now=now)
    seal_events(now=now)
    event = Event.objects.filter(smart_account=acme).latest("pk")
    with pytest.raises(Forbidden):
        erase_personal_values(actor=actor_of(alice), user=alice, now=now)
    # member.added by alice, and user.created about her
    assert erase_personal_values(actor=actor_of(olivia), user=alice, now=now) == 2
    event = Event.objects.get(pk=event.pk)
    assert event.message == "[erased] was given the role SA_USER."
    assert event.actor_name == "[erased]"
    assert event.actor_id == str(alice.pk)
    report = verify_log(now=now)
    assert (report.problems, report.erased) == ([], 2)
    stored = json.dumps([list(Event.objects.values_list("data", "personal_digests", "actor_label"))], default=str)
    assert "x@acme.example" not in stored
    assert erase_personal_values(actor=actor_of(olivia), user=bob, now=now) == 1


def test_the_unsealed_tail_is_told(acme, now):
    seal_events(now=now)
    note(acme, now)
    report = verify_log(now=now + timedelta(seconds=90))
    assert (report.unsealed, report.sealed, report.oldest_unsealed) == (1, 2, timedelta(seconds=90))
    assert report.holds


def test_an_event_name_must_be_registered_and_means_one_thing(acme, now):
    with pytest.raises(KeyError):
        note(acme, now, name="account.exploded")
    with pytest.raises(ValueError, match="already taken"):
        register_events({"account.created": "something else"})
    assert render_event("of.an.older.release", {}) == "of.an.older.release"


def test_the_log_has_no_update_and_no_delete(log):
    with pytest.raises(TypeError):
        Event.objects.filter(pk=log[0].pk).update(name="x")
    with pytest.raises(TypeError):
        Event.objects.all().delete()


def test_text_that_no_database_stores_is_cleaned(acme, now):
    event = note(acme, now, data={"before": "a\x00b", "after": ["\ud800"]}, personal={"user": "\x00"})
    event.refresh_from_db()
    assert event.data == {"before": "ab", "after": ["?"]}
    seal_events(now=now)
    assert verify_log(now=now).holds


def test_a_product_leaves_no_personal_row(acme, now):
    event = note(acme, now, actor=Actor.product("abc"))
    assert not EventPersonal.objects.filter(event=event).exists()
    assert event.actor_name == "product instance abc"


def test_who_sees_which_events(acme, umbrella, engineering, alice, bob, mallory, olivia, actor_of, now):
    change_virtual_account(actor=actor_of(alice), virtual_account=engineering, name="R&D", now=now)
    add_member(actor=actor_of(alice), smart_account=acme, email="v@acme.example", role=Role.SA_VIEWER, now=now)
    viewer = type(alice).objects.get(email="v@acme.example")

    def seen(user):
        rows = Event.objects.visible_to(actor_of(user)).exclude(name="user.created")
        return set(rows.values_list("name", "smart_account_id"))

    created, changed, added = (
        (name, acme.pk) for name in ("account.created", "virtual_account.changed", "member.added")
    )
    assert seen(alice) == {created, changed, added}
    assert seen(bob) == seen(viewer) == {changed}
    assert seen(mallory) == {("account.created", umbrella.pk)}
    assert seen(olivia) == {created, changed, added, ("account.created", umbrella.pk)}


def test_verify_log_tells_a_program_and_a_person(log, now, capsys):
    call_command("verify_log", "--json")
    answer = json.loads(capsys.readouterr().out)
    assert (answer["holds"], answer["sealed"], answer["logs"], answer["unsealed"]) == (True, 10, 3, 0)
    tamper("UPDATE accounts_event SET name = 'account.created' WHERE id = %s", log[2].pk)
    for arguments in ((), ("--json",)):
        with pytest.raises(SystemExit) as left:
            call_command("verify_log", *arguments)
        assert left.value.code == 1
        assert "does not fit its seal" in capsys.readouterr().out
