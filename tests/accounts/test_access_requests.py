from datetime import timedelta

import pytest
from django.core import mail

from accounts.errors import ACCOUNT_EXISTS, ALREADY_DECIDED, ALREADY_MEMBER, REQUEST_PENDING, TOO_MANY
from accounts.models import AccessRequest, Event, Membership, SmartAccount
from accounts.services.access_requests import (
    approve_request,
    decline_request,
    request_access,
    request_new_account,
    send_access_request_mails,
)
from cssm.common.actor import NOBODY
from cssm.common.errors import Conflict, Forbidden, Invalid, NotFound
from cssm.common.permissions import Role


@pytest.fixture
def asked(acme, mallory, actor_of, now):
    """mallory asks for access to Acme."""
    return request_access(actor=actor_of(mallory), domain="acme.example", note="please", now=now)


@pytest.fixture
def wished(mallory, actor_of, now):
    """mallory asks for a new account."""
    return request_new_account(actor=actor_of(mallory), domain="Hive.example", name="Hive", note="", now=now)


def test_the_operator_approves_a_new_account_whose_requester_administers_it(wished, mallory, olivia, actor_of, now):
    approve_request(actor=actor_of(olivia), access_request=wished, now=now)
    account = SmartAccount.objects.get(domain="hive.example")
    assert Membership.objects.get(smart_account=account).user == mallory
    assert send_access_request_mails(now=now) == 1
    assert send_access_request_mails(now=now + timedelta(days=1)) == 0
    (letter,) = mail.outbox
    assert letter.to == [mallory.email]
    assert letter.subject == "Your request for hive.example was approved"
    assert "/accounts/hive.example/" in letter.body
    assert "html" not in letter.body


def test_the_administrator_chooses_the_role(asked, acme, engineering, alice, mallory, actor_of, now):
    with pytest.raises(Invalid):
        approve_request(actor=actor_of(alice), access_request=asked, now=now)
    approve_request(
        actor=actor_of(alice), access_request=asked, role=Role.VA_VIEWER, virtual_account=engineering, now=now
    )
    membership = Membership.objects.get(user=mallory)
    assert (membership.role, membership.virtual_account) == (Role.VA_VIEWER, engineering)
    assert set(Event.objects.newest_first().values_list("name", flat=True)[:2]) == {
        "access_request.approved",
        "member.added",
    }


def test_a_decline_gives_its_reason_to_the_requester(asked, alice, mallory, actor_of, now):
    with pytest.raises(Invalid):
        decline_request(actor=actor_of(alice), access_request=asked, reason="  ", now=now)
    decline_request(actor=actor_of(alice), access_request=asked, reason="Who <are> you?\nSorry.", now=now)
    send_access_request_mails(now=now)
    assert "Who <are> you?\nSorry." in mail.outbox[0].body
    assert not Membership.objects.filter(user=mallory).exists()


def test_only_those_concerned_decide(asked, wished, alice, bob, mallory, olivia, actor_of, now):
    for user, row, error in (
        (bob, asked, Forbidden),
        (olivia, asked, Forbidden),
        (mallory, asked, NotFound),
        (alice, wished, NotFound),
        (mallory, wished, NotFound),
    ):
        with pytest.raises(error):
            approve_request(actor=actor_of(user), access_request=row, role=Role.SA_VIEWER, now=now)
        with pytest.raises(error):
            decline_request(actor=actor_of(user), access_request=row, reason="x", now=now)
    assert AccessRequest.objects.pending().count() == 2


def test_who_sees_which_requests(asked, wished, alice, bob, mallory, olivia, actor_of):
    def seen(user):
        return set(AccessRequest.objects.visible_to(actor_of(user)))

    assert seen(alice) == {asked}
    assert seen(olivia) == {wished}
    assert seen(mallory) == {asked, wished}
    assert seen(bob) == set()


def test_a_request_is_decided_once(asked, alice, actor_of, now):
    decline_request(actor=actor_of(alice), access_request=asked, reason="no", now=now)
    with pytest.raises(Conflict) as refused:
        approve_request(actor=actor_of(alice), access_request=asked, role=Role.SA_VIEWER, now=now)
    assert refused.value.code == ALREADY_DECIDED


def test_duplicates_are_refused(asked, wished, bob, mallory, actor_of, now):
    actor = actor_of(mallory)
    for repeat, code in (
        (lambda: request_access(actor=actor, domain="ACME.example", now=now), REQUEST_PENDING),
        (lambda: request_new_account(actor=actor, domain="hive.example", name="x", now=now), REQUEST_PENDING),
        (lambda: request_new_account(actor=actor, domain="acme.example", name="x", now=now), ACCOUNT_EXISTS),
        (lambda: request_access(actor=actor_of(bob), domain="acme.example", now=now), ALREADY_MEMBER),
    ):
        with pytest.raises(Conflict) as refused:
            repeat()
        assert refused.value.code == code
    assert AccessRequest.objects.count() == 2


def test_two_requests_for_one_new_domain_make_one_account(wished, bob, olivia, actor_of, now):
    other = request_new_account(actor=actor_of(bob), domain="hive.example", name="Bee", now=now)
    approve_request(actor=actor_of(olivia), access_request=wished, now=now)
    with pytest.raises(Conflict) as refused:
        approve_request(actor=actor_of(olivia), access_request=other, now=now)
    assert refused.value.code == ACCOUNT_EXISTS
    other.refresh_from_db()
    assert (other.status, other.smart_account) == ("pending", None)


def test_nobody_floods_the_operator(mallory, actor_of, now, monkeypatch):
    monkeypatch.setattr("accounts.services.access_requests.MAX_PENDING", 2)
    for number in range(2):
        request_new_account(actor=actor_of(mallory), domain=f"d{number}.example", name="x", now=now)
    with pytest.raises(Conflict) as refused:
        request_new_account(actor=actor_of(mallory), domain="d3.example", name="x", now=now)
    assert refused.value.code == TOO_MANY


def test_only_a_person_asks(acme, now):
    with pytest.raises(Forbidden):
        request_access(actor=NOBODY, domain="acme.example", now=now)


@pytest.mark.parametrize("note", ["x" * 1001, "a\x00b"])
def test_an_absurd_note_is_refused(acme, mallory, actor_of, now, note):
    with pytest.raises(Invalid):
        request_access(actor=actor_of(mallory), domain="acme.example", note=note, now=now)


def test_a_mail_that_failed_is_sent_later_with_the_same_message_id(asked, alice, actor_of, now, monkeypatch):
    decline_request(actor=actor_of(alice), access_request=asked, reason="no", now=now)
    sent = []

    def fail(message, *args, **kwargs):
        sent.append(message.extra_headers["Message-ID"])
        raise ConnectionRefusedError

    monkeypatch.setattr("django.core.mail.EmailMessage.send", fail)
    assert send_access_request_mails(now=now) == 0
    monkeypatch.undo()
    assert send_access_request_mails(now=now + timedelta(minutes=1)) == 0
    assert send_access_request_mails(now=now + timedelta(minutes=6)) == 1
    assert mail.outbox[0].extra_headers["Message-ID"] == sent[0]
    asked.refresh_from_db()
    assert (asked.mail_due_at, asked.notified_at) == (None, now + timedelta(minutes=6))
