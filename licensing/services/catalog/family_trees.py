"""Families as people read them: trees of licenses, and what each version of the hierarchy changed."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Count, OuterRef, Prefetch, QuerySet, Subquery

from accounts.services.actors import name_people
from cssm.common.actor import ActorKind
from licensing.models import HierarchyVersion, License, LicenseFamily
from licensing.querysets.loans import read_higher


@dataclass(frozen=True, slots=True)
class Node:
    """A license with those right below it."""

    license: License
    lower: Sequence["Node"]


@dataclass(frozen=True, slots=True)
class VersionChange:
    """`before` and `after` are the next higher license, None where there was or is none."""

    license: License
    before: License | None
    after: License | None


@dataclass(frozen=True, slots=True)
class FamilyVersion:
    """One version of a family's hierarchy, in force from `at` until the next; `made_by` is empty where nobody knows."""

    number: int
    at: datetime
    made_by: str
    changes: Sequence[VersionChange]


def read_families() -> QuerySet[LicenseFamily]:
    """With `license_count`, the newest `version` and `since` when it is in force, and their licenses at hand."""
    newest = HierarchyVersion.objects.filter(family=OuterRef("pk")).order_by("-number")
    members = License.objects.select_related("higher").order_by("display_name", "tag")
    return (
        LicenseFamily.objects.annotate(
            license_count=Count("licenses"),
            version=Subquery(newest.values("number")[:1]),
            since=Subquery(newest.values("at")[:1]),
        )
        .filter(license_count__gt=0)
        .prefetch_related(Prefetch("licenses", members))
    )


def grow_tree(licenses: Iterable[License]) -> list[Node]:
    """The licenses of one family below its topmost one; siblings by name."""
    members = {license.pk: license for license in licenses}
    below: dict[int | None, list[License]] = defaultdict(list)
    for license in sorted(members.values(), key=lambda each: (each.display_name, each.tag)):
        below[license.higher_id if license.higher_id in members else None].append(license)

    def nodes(above: int | None) -> list[Node]:
        return [Node(license, nodes(license.pk)) for license in below[above]]

    return nodes(None)


def read_versions(family: LicenseFamily) -> list[FamilyVersion]:
    """Newest first. Four queries."""
    versions = list(HierarchyVersion.objects.filter(family=family).order_by("number"))
    edges = [read_higher(version.higher) for version in versions]
    named = {id for version in edges for pair in version.items() for id in pair}
    licenses = License.objects.in_bulk(named)
    people = name_people(version.actor_id for version in versions if version.actor_kind == ActorKind.USER)
    found = []
    for position, version in enumerate(versions):
        before = edges[position - 1] if position else {}
        after = edges[position]
        changes = [
            VersionChange(licenses[id], licenses.get(before.get(id, 0)), licenses.get(after.get(id, 0)))
            for id in sorted(before.keys() | after.keys())
            if before.get(id) != after.get(id)
        ]
        made_by = people[version.actor_id] if version.actor_kind == ActorKind.USER else version.actor_label
        found.append(FamilyVersion(version.number, version.at, made_by, changes))
    return found[::-1]
