"""Account tags: words of one Smart Account, on its Virtual Accounts and on whatever apps above let people tag."""

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Protocol

from django.db import models, transaction

from accounts.errors import NAME_TAKEN, TAG_NAME, TAG_UNKNOWN, TOO_MANY_TAGS
from accounts.models import AccountTag, SmartAccount, VirtualAccount
from accounts.services.events import record_event
from cssm.common.actor import Actor
from cssm.common.errors import Conflict, Forbidden, Invalid, NotFound
from cssm.common.permissions import Permission

NAME_LIMIT: Final = 60
TAGS_PER_OBJECT: Final = 20
TAGS_PER_ACCOUNT: Final = 500


class Taggable(Protocol):
    """A row with a Smart Account and a many-to-many field `tags`."""

    pk: Any
    smart_account_id: int
    tags: Any


@dataclass(frozen=True, slots=True)
class Retagged:
    """What was changed of one row."""

    row: Any
    added: tuple[str, ...]
    removed: tuple[str, ...]

    def describe(self) -> dict[str, Any]:
        """For the event of the row."""
        parts = (("added", self.added), ("removed", self.removed))
        text = "; ".join(f"{what} {', '.join(names)}" for what, names in parts if names)
        return {"changes": text, "added": list(self.added), "removed": list(self.removed)}


def clean_tag_name(name: str, *, where: str = "tags") -> str:
    """The word on one line, composed (NFC). Raises `Invalid` (TAG_NAME) unless 1 to 60 printable ones, no comma."""
    cleaned = " ".join(unicodedata.normalize("NFC", name).split())
    if not cleaned or len(cleaned) > NAME_LIMIT or not cleaned.isprintable() or "," in cleaned:
        raise Invalid(f"A tag has 1 to {NAME_LIMIT} printable characters and no comma.", code=TAG_NAME, where=where)
    return cleaned


def clean_tag_names(names: Iterable[str]) -> list[str]:
    """Each word once, as it was first written. Raises as `clean_tag_name`."""
    words: dict[str, str] = {}
    for name in names:
        word = clean_tag_name(name)
        words.setdefault(word.casefold(), word)
    return list(words.values())


def create_tag(*, actor: Actor, smart_account: SmartAccount, name: str, now: datetime) -> AccountTag:
    """The word, made if it is missing: two who make it at once get the same.

    For whoever may tag anything in the account. Raises `Forbidden`, `NotFound`, `Invalid` (TAG_NAME), `Conflict`
    (TOO_MANY_TAGS) at the account's limit.
    """
    _require_tagger(actor, smart_account.pk)
    word = clean_tag_name(name, where="name")
    with transaction.atomic():
        _lock_words(smart_account.pk)
        return _ensure_words(actor, smart_account.pk, [word], now)[word.casefold()]


def rename_tag(*, actor: Actor, tag: AccountTag, name: str, now: datetime) -> AccountTag:
    """Write the word differently, everywhere it is. Raises `Conflict` (NAME_TAKEN) where another one is called that."""
    actor.require(Permission.MANAGE_VIRTUAL_ACCOUNTS, smart_account_id=tag.smart_account_id)
    word = clean_tag_name(name, where="name")
    with transaction.atomic():
        _lock_words(tag.smart_account_id)
        row = _get_again(tag)
        taken = _words_of(tag.smart_account_id).get(word.casefold())
        if taken is not None and taken.pk != row.pk:
            raise Conflict(f'There is already a tag "{taken.name}".', code=NAME_TAKEN, where="name")
        before, row.name = row.name, word
        if before != word:
            row.save(update_fields=["name"])
            _record(actor, row, "tag.renamed", {"before": before, "after": word}, now)
    return row


def delete_tag(*, actor: Actor, tag: AccountTag, now: datetime) -> None:
    """Take the word off everything that has it, and out of the account."""
    actor.require(Permission.MANAGE_VIRTUAL_ACCOUNTS, smart_account_id=tag.smart_account_id)
    with transaction.atomic():
        _lock_words(tag.smart_account_id)
        row = _get_again(tag)
        key = row.pk
        uses, _ = row.delete()
        row.pk = key
        _record(actor, row, "tag.deleted", {"name": row.name, "uses": uses - 1}, now)


def find_tags(*, actor: Actor, smart_account: SmartAccount, names: Iterable[str]) -> list[AccountTag]:
    """The account's words of these names, in any case. Raises `NotFound` (TAG_UNKNOWN) naming the first it has not."""
    visible = AccountTag.objects.visible_to(actor).filter(smart_account=smart_account)
    return _pick({tag.name.casefold(): tag for tag in visible}, clean_tag_names(names))


def set_virtual_account_tags(
    *, actor: Actor, virtual_account: VirtualAccount, names: Iterable[str], now: datetime
) -> None:
    """Give the Virtual Account these tags and no others. Raises as `change_virtual_account_tags`."""
    _retag_virtual_accounts(actor, virtual_account.smart_account_id, [virtual_account], now, exactly=names)


def change_virtual_account_tags(
    *,
    actor: Actor,
    smart_account: SmartAccount,
    virtual_accounts: Sequence[VirtualAccount],
    add: Iterable[str] = (),
    remove: Iterable[str] = (),
    now: datetime,
) -> int:
    """Tag many, all or none; returns how many changed. Missing words are made.

    Raises `Forbidden` to whoever may not rename them, `NotFound`, `Invalid` (TAG_NAME), `Conflict` (TOO_MANY_TAGS).
    """
    return _retag_virtual_accounts(actor, smart_account.pk, virtual_accounts, now, add=add, remove=remove)


def change_tags(
    *,
    actor: Actor,
    smart_account_id: int,
    rows: Sequence[Taggable],
    add: Iterable[str] = (),
    remove: Iterable[str] = (),
    exactly: Iterable[str] | None = None,
    now: datetime,
) -> list[Retagged]:
    """Tag rows of one model, in the caller's transaction; the caller has asked for the rights and records the events.

    With `exactly` the rows have these tags afterwards and no others. Returns the rows that changed. Raises `NotFound`
    for a row of another account or a word to remove that the account has not, `Invalid`, `Conflict` (TOO_MANY_TAGS).
    """
    if any(row.smart_account_id != smart_account_id for row in rows):
        raise NotFound("There is no such thing in this Smart Account.")
    if not rows:
        return []
    wanted = clean_tag_names(add if exactly is None else exactly)
    unwanted = clean_tag_names(remove)
    # All tagging of an account takes turns: only then are the limits exact, and what the events say.
    _lock_words(smart_account_id)
    removed = {tag.pk for tag in _pick(_words_of(smart_account_id), unwanted)}
    added = {tag.pk for tag in _ensure_words(actor, smart_account_id, wanted, now).values()}
    if removed & added:
        raise Invalid("A tag cannot be added and removed at once.", where="remove")
    through, column = _links(rows[0])
    had: dict[Any, set[int]] = {row.pk: set() for row in rows}
    for key, tag in through.objects.filter(**{f"{column}__in": list(had)}).values_list(column, "accounttag_id"):
        had[key].add(tag)
    has = {key: added if exactly is not None else (tags - removed) | added for key, tags in had.items()}
    _refuse_too_many(rows, has)
    names = {tag.pk: tag.name for tag in AccountTag.objects.filter(smart_account_id=smart_account_id)}
    gone: dict[int, list[Any]] = {}
    for key, tags in had.items():
        for tag in tags - has[key]:
            gone.setdefault(tag, []).append(key)
    for tag, keys in gone.items():
        through.objects.filter(accounttag_id=tag, **{f"{column}__in": keys}).delete()
    through.objects.bulk_create(
        through(**{column: key, "accounttag_id": tag}) for key, tags in has.items() for tag in sorted(tags - had[key])
    )
    return [
        Retagged(
            row,
            added=tuple(sorted(names[tag] for tag in has[row.pk] - had[row.pk])),
            removed=tuple(sorted(names[tag] for tag in had[row.pk] - has[row.pk])),
        )
        for row in rows
        if has[row.pk] != had[row.pk]
    ]


def _retag_virtual_accounts(
    actor: Actor, smart_account_id: int, rows: Sequence[VirtualAccount], now: datetime, **change: Any
) -> int:
    actor.require(Permission.MANAGE_VIRTUAL_ACCOUNTS, smart_account_id=smart_account_id)
    with transaction.atomic():
        live = list(VirtualAccount.objects.live().filter(pk__in=[row.pk for row in rows]).order_by("pk"))
        if len(live) != len({row.pk for row in rows}):
            raise NotFound("There is no such Virtual Account.")
        changed = change_tags(actor=actor, smart_account_id=smart_account_id, rows=live, now=now, **change)
        for one in changed:
            record_event(
                actor=actor,
                name="virtual_account.tags_changed",
                smart_account=smart_account_id,
                virtual_account=one.row,
                subject_type="virtual_account",
                subject_id=one.row.pk,
                data={"name": one.row.name, **one.describe()},
                now=now,
            )
    return len(changed)


def _require_tagger(actor: Actor, smart_account_id: int) -> None:
    if actor.may_anywhere(Permission.MANAGE_ASSETS, smart_account_id=smart_account_id):
        return
    if not actor.knows(smart_account_id=smart_account_id):
        raise NotFound("There is no such account, or you have no access to it.")
    raise Forbidden("Your role does not allow this. Ask an administrator of the Smart Account for the right.")


def _lock_words(smart_account_id: int) -> None:
    """A lock that rows pointing to the account do not wait for: products go on reporting."""
    SmartAccount.objects.select_for_update(no_key=True).only("pk").get(pk=smart_account_id)


def _get_again(tag: AccountTag) -> AccountTag:
    row = AccountTag.objects.filter(pk=tag.pk).first()
    if row is None:
        raise NotFound("This tag was deleted.", code=TAG_UNKNOWN)
    return row


def _words_of(smart_account_id: int) -> dict[str, AccountTag]:
    """All words of the account, by how they compare: databases disagree on the case of what is not ASCII."""
    return {tag.name.casefold(): tag for tag in AccountTag.objects.filter(smart_account_id=smart_account_id)}


def _ensure_words(actor: Actor, smart_account_id: int, names: Sequence[str], now: datetime) -> dict[str, AccountTag]:
    """These words under the lock, the missing ones made."""
    words = _words_of(smart_account_id) if names else {}
    missing = [name for name in names if name.casefold() not in words]
    if len(words) + len(missing) > TAGS_PER_ACCOUNT and missing:
        raise Conflict(
            f"A Smart Account has at most {TAGS_PER_ACCOUNT} tags. Delete some that are not used.",
            code=TOO_MANY_TAGS,
            where="tags",
        )
    for name in missing:
        row = AccountTag.objects.create(smart_account_id=smart_account_id, name=name, created_at=now)
        words[name.casefold()] = row
        _record(actor, row, "tag.created", {"name": name}, now)
    return {name.casefold(): words[name.casefold()] for name in names}


def _pick(words: dict[str, AccountTag], names: Sequence[str]) -> list[AccountTag]:
    unknown = next((name for name in names if name.casefold() not in words), None)
    if unknown is not None:
        raise NotFound(f'This Smart Account has no tag "{unknown}".', code=TAG_UNKNOWN, where="tags")
    return [words[name.casefold()] for name in names]


def _links(row: Taggable) -> tuple[Any, str]:
    """The table that joins the row's model to tags, and its column of the row."""
    field: models.ManyToManyField[Any, Any] = type(row)._meta.get_field("tags")  # type: ignore[attr-defined]  # a model
    return field.remote_field.through, f"{field.m2m_field_name()}_id"


def _refuse_too_many(rows: Sequence[Taggable], has: dict[Any, set[int]]) -> None:
    full = sum(len(has[row.pk]) > TAGS_PER_OBJECT for row in rows)
    if full:
        raise Conflict(
            f"At most {TAGS_PER_OBJECT} tags go on one thing; {full} of {len(rows)} would have more.",
            code=TOO_MANY_TAGS,
            where="tags",
        )


def _record(actor: Actor, tag: AccountTag, event: str, data: dict[str, Any], now: datetime) -> None:
    record_event(
        actor=actor,
        name=event,
        smart_account=tag.smart_account_id,
        subject_type="account_tag",
        subject_id=tag.pk,
        data=data,
        now=now,
    )
