"""Versions of the hierarchy: which license of a family stands in for which. Written with the catalog, then followed."""

from collections.abc import Iterable
from datetime import datetime

from licensing.models import HierarchyVersion, License


def write_versions(licenses: Iterable[License], *, made_by: str, now: datetime) -> set[int]:
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
            made_by=made_by,
        )
        for family_id in sorted(changed)
    )
    return changed
