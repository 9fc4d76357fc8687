"""Finding things of a Smart Account by a few words: by name, account tag, UDI, serial number or host name."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import reduce
from operator import or_
from typing import Any, Final

from django.db.models import CharField, F, Model, Q, QuerySet, Value

from accounts.models import AccountTag, SmartAccount, VirtualAccount
from cssm.common.actor import Actor
from licensing.models import Pool, ProductInstance

MAX_TEXT: Final = 200
MAX_WORDS: Final = 8


class Group(StrEnum):
    """What is searched; also the `in` of the page's address."""

    VIRTUAL_ACCOUNTS = "virtual-accounts"
    LICENSES = "licenses"
    INSTANCES = "instances"


FIELDS: Final[dict[Group, tuple[str, ...]]] = {
    Group.VIRTUAL_ACCOUNTS: ("name", "description"),
    Group.LICENSES: ("license__display_name", "license__tag"),
    Group.INSTANCES: ("hostname", "udi"),
}


@dataclass(frozen=True, slots=True)
class Findings:
    """A page of what was found in one group; `has_more` says that another one follows. `tags` are names by row key."""

    group: Group
    rows: Sequence[Any]
    has_more: bool
    tags: dict[int, list[str]] = field(default_factory=dict)


def search_account(
    *,
    actor: Actor,
    smart_account: SmartAccount,
    text: str,
    groups: Sequence[Group] = tuple(Group),
    limit: int,
    offset: int = 0,
) -> list[Findings]:
    """What holds every word of the text in its name or on a tag, of what the actor may see; `limit` rows of each group.

    Counts nothing, so that it costs the same whether ten or a hundred thousand match: one row more than asked for is
    read to know that there are more. One statement for each group, and two for the tags.
    """
    words = text[:MAX_TEXT].split()[:MAX_WORDS]
    if not words:
        return [Findings(group, (), False) for group in groups]
    known = AccountTag.objects.visible_to(actor).filter(smart_account=smart_account)
    tags = dict(known.values_list("pk", "name"))
    found = []
    for group in groups:
        rows = _readable(group, actor, smart_account)
        for word in words:
            having = [pk for pk, name in tags.items() if word.casefold() in name.casefold()]
            rows = rows.filter(_matches(rows, FIELDS[group], word, having))
        page = list(rows[offset : offset + limit + 1])
        found.append(Findings(group, page[:limit], len(page) > limit))
    _read_tags(found, tags)
    return found


def _readable(group: Group, actor: Actor, smart_account: SmartAccount) -> QuerySet[Any]:
    """The rows of a group that the actor may see, in order, with what a result shows."""
    own = {"smart_account": smart_account}
    if group is Group.VIRTUAL_ACCOUNTS:
        return VirtualAccount.objects.live().visible_to(actor).filter(**own).order_by("name", "pk")
    if group is Group.LICENSES:
        pools = Pool.objects.visible_to(actor).filter(**own).select_related("license", "virtual_account")
        return pools.order_by("license__display_name", "virtual_account__name", "pk")
    instances = ProductInstance.objects.active().visible_to(actor).filter(**own).select_related("virtual_account")
    return instances.order_by("-pk")


def _matches(rows: QuerySet[Any], fields: Sequence[str], word: str, tags: Sequence[int]) -> Q:
    named = reduce(or_, (Q(**{f"{field}__icontains": word}) for field in fields))
    if not tags:
        return named
    links, column = _links(rows.model)
    return named | Q(pk__in=links.filter(accounttag__in=tags).values(column))


def _links(model: type[Model]) -> tuple[QuerySet[Any], str]:
    """What joins the model to tags, and the column of the model's key."""
    to_tags: Any = model._meta.get_field("tags")
    return to_tags.remote_field.through.objects.all(), f"{to_tags.m2m_field_name()}_id"


def _read_tags(found: Sequence[Findings], names: dict[int, str]) -> None:
    """The tags of all rows shown, in one statement."""
    parts = []
    for findings in found:
        if findings.rows and names:
            links, column = _links(type(findings.rows[0]))
            shown = links.filter(**{f"{column}__in": [row.pk for row in findings.rows]}).order_by()
            group = Value(findings.group.value, output_field=CharField())
            parts.append(shown.annotate(group=group, row=F(column)).values_list("group", "row", "accounttag_id"))
    if not parts:
        return
    by_group = {findings.group.value: findings.tags for findings in found}
    for group, row, tag in parts[0].union(*parts[1:]):
        if tag in names:  # one made since the names were read is not among them
            by_group[group].setdefault(row, []).append(names[tag])
    for tags in by_group.values():
        for words in tags.values():
            words.sort(key=str.casefold)
