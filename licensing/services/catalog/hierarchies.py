"""Versions of the hierarchy: which license of a family stands in for which. Written with the catalog, then followed."""

from collections.abc import Iterable
from datetime import datetime

from cssm.common.actor import Actor, ActorKind
from licensing.models import HierarchyVersion, License


def write_versions(licenses: Iterable[License], *, actor: Actor, now: datetime) -> set[int]:
    """A new version for each family whose "higher" differs from its newest version; returns the ids of those families.

    `licenses` is the whole catalog as it is about to be, under the lock of its head.
    """
    wanted: dict[int, dict[str, int]] = {}
    for license in licenses:
        edges = wanted.setdefault(license.family_id, {})
        if license.higher_id is not None:
            edges[str(license.pk)] = license.higher_id
    newest = {version.family_id: version for version in HierarchyVersion.objects.order_by("family", "number")}
    changed = {
        family_id
        for family_id, edges in wanted.items()
        if edges != (newest[family_id].higher if family_id in newest else {})
    }
    HierarchyVersion.objects.bulk_create(
        HierarchyVersion(
            family_id=family_id,
            number=newest[family_id].number + 1 if family_id in newest else 1,
            higher=wanted[family_id],
            at=now,
            actor_kind=actor.kind.value,
            actor_id=actor.id,
            # A person's name is personal: it stands in the event, where it can be erased.
            actor_label="" if actor.kind is ActorKind.USER else actor.label[:200],
        )
        for family_id in sorted(changed)
    )
    return changed
