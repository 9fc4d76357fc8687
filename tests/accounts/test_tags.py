"""Account tags: the words of an account, and who may put them on its Virtual Accounts."""

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from threading import Barrier, BrokenBarrierError

import pytest

from accounts.models import AccountTag, Event, SmartAccount, User, VirtualAccount
from accounts.services import tags
from accounts.services.tags import (
    TAGS_PER_ACCOUNT,
    TAGS_PER_OBJECT,
    change_virtual_account_tags,
    create_tag,
    delete_tag,
    find_tags,
    rename_tag,
    set_virtual_account_tags,
)
from cssm.common.actor import SYSTEM, Actor
from cssm.common.errors import Conflict, Forbidden, Invalid, NotFound
from tests.accounts.test_races import side_by_side
from tests.conftest import NOW

ActorOf = Callable[[User], Actor]


def words(account: SmartAccount) -> list[str]:
    return sorted(AccountTag.objects.filter(smart_account=account).values_list("name", flat=True))


def tags_of(virtual_account: VirtualAccount) -> list[str]:
    return sorted(tag.name for tag in virtual_account.tags.all())


@pytest.fixture
def make(acme: SmartAccount) -> Callable[[str], AccountTag]:
    return lambda name: create_tag(actor=SYSTEM, smart_account=acme, name=name, now=NOW)


def test_a_word_exists_once_whatever_its_case(acme: SmartAccount, make: Callable[[str], AccountTag]):
    assert make("Production") == make("  PRODUCTION ")
    assert make("Zürich") == make("ZU\u0308RICH")
    assert words(acme) == ["Production", "Zürich"]
    assert Event.objects.filter(name="tag.created").count() == 2


@pytest.mark.parametrize("name", ["", "   ", "a,b", "x" * 61, "bell\x07", "new\u200bline"])
def test_a_word_that_cannot_be_one_is_refused(make: Callable[[str], AccountTag], name: str):
    with pytest.raises(Invalid) as refusal:
        make(name)
    assert (refusal.value.code, refusal.value.where) == ("TAG_NAME", "name")


def test_an_account_has_room_for_so_many_words(
    acme: SmartAccount, umbrella: SmartAccount, make: Callable[[str], AccountTag]
):
    AccountTag.objects.bulk_create(
        AccountTag(smart_account=acme, name=f"word {n}", created_at=NOW) for n in range(TAGS_PER_ACCOUNT - 1)
    )
    make("last")
    assert make("LAST").name == "last"
    with pytest.raises(Conflict) as refusal:
        make("one more")
    assert refusal.value.code == "TOO_MANY_TAGS"
    create_tag(actor=SYSTEM, smart_account=umbrella, name="one more", now=NOW)


def test_a_renamed_word_is_renamed_wherever_it_is(
    acme: SmartAccount, engineering: VirtualAccount, alice: User, actor_of: ActorOf
):
    actor = actor_of(alice)
    set_virtual_account_tags(actor=actor, virtual_account=engineering, names=["prod", "west"], now=NOW)
    tag = AccountTag.objects.get(name="prod")
    rename_tag(actor=actor, tag=tag, name="Prod", now=NOW)
    with pytest.raises(Conflict, match="There is already"):
        rename_tag(actor=actor, tag=tag, name="WEST", now=NOW)
    assert tags_of(engineering) == ["Prod", "west"]
    assert Event.objects.get(name="tag.renamed").message == 'The tag "prod" was renamed to "Prod".'


def test_a_deleted_word_is_taken_off_everything(
    engineering: VirtualAccount, default_va: VirtualAccount, alice: User, actor_of: ActorOf
):
    actor = actor_of(alice)
    for virtual_account in (engineering, default_va):
        set_virtual_account_tags(actor=actor, virtual_account=virtual_account, names=["old"], now=NOW)
    tag = AccountTag.objects.get()
    delete_tag(actor=actor, tag=tag, now=NOW)
    assert tags_of(engineering) == tags_of(default_va) == []
    assert Event.objects.get(name="tag.deleted").data["uses"] == 2
    with pytest.raises(NotFound):
        delete_tag(actor=actor, tag=tag, now=NOW)


def test_setting_tags_says_what_changed_and_setting_them_again_nothing(
    engineering: VirtualAccount, alice: User, actor_of: ActorOf
):
    give = partial(set_virtual_account_tags, actor=actor_of(alice), virtual_account=engineering, now=NOW)
    give(names=["a", "b"])
    give(names=["B", "c", "C"])
    give(names=["c", "b"])
    assert tags_of(engineering) == ["b", "c"]
    events = Event.objects.filter(name="virtual_account.tags_changed").order_by("pk")
    assert [event.data["changes"] for event in events] == ["added a, b", "added c; removed a"]
    assert events[0].virtual_account == engineering


def test_many_are_tagged_at_once_and_keep_their_other_tags(
    acme: SmartAccount, engineering: VirtualAccount, default_va: VirtualAccount, alice: User, actor_of: ActorOf
):
    set_virtual_account_tags(actor=actor_of(alice), virtual_account=engineering, names=["own", "old"], now=NOW)
    changed = change_virtual_account_tags(
        actor=actor_of(alice),
        smart_account=acme,
        virtual_accounts=[engineering, default_va],
        add=["west"],
        remove=["OLD"],
        now=NOW,
    )
    assert changed == 2
    assert (tags_of(engineering), tags_of(default_va)) == (["own", "west"], ["west"])


def test_one_thing_that_would_have_too_many_stops_all(
    acme: SmartAccount, engineering: VirtualAccount, default_va: VirtualAccount
):
    full = [f"t{n}" for n in range(TAGS_PER_OBJECT)]
    set_virtual_account_tags(actor=SYSTEM, virtual_account=engineering, names=full, now=NOW)
    with pytest.raises(Conflict) as refusal:
        change_virtual_account_tags(
            actor=SYSTEM, smart_account=acme, virtual_accounts=[default_va, engineering], add=["more"], now=NOW
        )
    assert refusal.value.code == "TOO_MANY_TAGS"
    assert tags_of(default_va) == []
    assert "more" not in words(acme)


def test_only_who_may_rename_virtual_accounts_tags_them_and_changes_words(
    engineering: VirtualAccount, bob: User, carol: User, make: Callable[[str], AccountTag], actor_of: ActorOf
):
    tag = make("prod")
    for person in (bob, carol):
        actor = actor_of(person)
        for refused in (
            partial(set_virtual_account_tags, virtual_account=engineering, names=["x"]),
            partial(rename_tag, tag=tag, name="x"),
            partial(delete_tag, tag=tag),
        ):
            with pytest.raises(Forbidden):
                refused(actor=actor, now=NOW)
    assert create_tag(actor=actor_of(bob), smart_account=engineering.smart_account, name="mine", now=NOW)
    with pytest.raises(Forbidden):
        create_tag(actor=actor_of(carol), smart_account=engineering.smart_account, name="hers", now=NOW)


def test_another_company_neither_finds_nor_uses_the_words(
    acme: SmartAccount,
    umbrella: SmartAccount,
    engineering: VirtualAccount,
    mallory: User,
    make: Callable[[str], AccountTag],
    actor_of: ActorOf,
):
    tag, actor = make("secret project"), actor_of(mallory)
    for refused in (
        partial(rename_tag, tag=tag, name="x", now=NOW),
        partial(delete_tag, tag=tag, now=NOW),
        partial(create_tag, smart_account=acme, name="x", now=NOW),
        partial(set_virtual_account_tags, virtual_account=engineering, names=["x"], now=NOW),
        partial(find_tags, smart_account=acme, names=["secret project"]),
        partial(
            change_virtual_account_tags, smart_account=umbrella, virtual_accounts=[engineering], add=["x"], now=NOW
        ),
    ):
        with pytest.raises(NotFound):
            refused(actor=actor)
    own = VirtualAccount.objects.get(smart_account=umbrella)
    with pytest.raises(NotFound) as unknown:
        change_virtual_account_tags(
            actor=actor, smart_account=umbrella, virtual_accounts=[own], remove=["secret project"], now=NOW
        )
    assert unknown.value.code == "TAG_UNKNOWN"
    set_virtual_account_tags(actor=actor, virtual_account=own, names=["Secret Project"], now=NOW)
    assert own.tags.get() != tag
    assert not AccountTag.objects.visible_to(actor).filter(smart_account=acme).exists()


def test_a_deleted_virtual_account_is_not_tagged(engineering: VirtualAccount):
    VirtualAccount.objects.filter(pk=engineering.pk).update(deleted_at=NOW)
    with pytest.raises(NotFound):
        set_virtual_account_tags(actor=SYSTEM, virtual_account=engineering, names=["x"], now=NOW)


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_two_who_make_the_same_word_at_once_get_one(
    acme: SmartAccount, engineering: VirtualAccount, monkeypatch: pytest.MonkeyPatch
):
    barrier, read = Barrier(2), tags._words_of

    def read_then_wait(smart_account_id: int) -> dict[str, AccountTag]:
        """Both read before either writes; with the lock only one gets here, and does not wait for long."""
        found = read(smart_account_id)
        with suppress(BrokenBarrierError):
            barrier.wait(timeout=1)
        return found

    monkeypatch.setattr(tags, "_words_of", read_then_wait)
    made = side_by_side(
        partial(create_tag, actor=SYSTEM, smart_account=acme, name="Prod", now=NOW),
        partial(set_virtual_account_tags, actor=SYSTEM, virtual_account=engineering, names=["prod"], now=NOW),
    )
    assert len(words(acme)) == 1
    assert engineering.tags.get() == made[0]
