"""Writing what an import changes: software tags, licenses, and the families that follow from "higher"."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from cssm.common.actor import Actor
from licensing.codecs.catalog_csv import CatalogRow
from licensing.codecs.software_hash import software_hash
from licensing.models import License, LicenseChange, LicenseFamily, SoftwareTag
from licensing.services.catalog.families import connect, keep_numbers
from licensing.services.catalog.hierarchies import write_versions

WRITTEN_FIELDS: Final = (
    "display_name",
    "feature_name",
    "default_type",
    "enforcement",
    "export_restricted",
    "product_ids",
    "billing",
    "higher",
    "family",
)


@dataclass(slots=True)
class ImportResult:
    """How many tags were new, changed, or as before; `version` is the catalog's after the import."""

    created: int = 0
    changed: int = 0
    unchanged: int = 0
    version: int = 0
    changes: list[dict[str, Any]] = field(default_factory=list)


def write_software(rows: Sequence[CatalogRow], known: Mapping[str, SoftwareTag], result: ImportResult) -> None:
    new = [
        SoftwareTag(tag=row.tag, short_hash=software_hash(row.tag), product_ids=row.product_ids)
        for row in rows
        if row.tag not in known
    ]
    changed = [
        known[row.tag]
        for row in rows
        if row.tag in known and _assign(known[row.tag], {"product_ids": row.product_ids}, result)
    ]
    SoftwareTag.objects.bulk_create(new)
    SoftwareTag.objects.bulk_update(changed, ["product_ids"])
    _count(result, created=len(new), changed=len(changed), rows=len(rows))


def write_licenses(
    rows: Sequence[CatalogRow],
    known: Mapping[str, License],
    result: ImportResult,
    *,
    actor: Actor,
    now: datetime,
    above: Mapping[str, str | None] | None = None,
) -> None:
    """`known` are all licenses of the catalog by tag, with `higher` loaded; `actor` is kept with hierarchy versions.

    `above` is the tag above every tag, where it does not follow from the rows.
    """
    above = highers(rows, known) if above is None else above
    before = {tag: (license.family_id, license.billing) for tag, license in known.items()}
    family_of = _settle_families(above, known, {row.tag: row.display_name for row in rows})
    changed: set[str] = set()
    new: dict[str, License] = {}
    for row in rows:
        if row.tag not in known:
            new[row.tag] = License(tag=row.tag, family_id=family_of[row.tag], **_values(row))
        elif _assign(known[row.tag], _values(row), result):
            changed.add(row.tag)
    License.objects.bulk_create(new.values())
    changed |= _point_higher({**known, **new}, new, above, result)
    for tag, license in known.items():
        license.family_id = family_of[tag]
    moved = {tag for tag, license in known.items() if before[tag] != (license.family_id, license.billing)}
    with_higher = [license for license in new.values() if license.higher_id is not None]
    License.objects.bulk_update([known[tag] for tag in sorted({*changed, *moved})] + with_higher, WRITTEN_FIELDS)
    rewritten = write_versions([*known.values(), *new.values()], actor=actor, now=now)
    follow = [tag for tag, license in known.items() if tag in moved or license.family_id in rewritten]
    LicenseChange.objects.bulk_create([LicenseChange(license=known[tag], at=now) for tag in follow])
    _count(result, created=len(new), changed=len(changed), rows=len(rows))


def highers(rows: Sequence[CatalogRow], known: Mapping[str, License]) -> dict[str, str | None]:
    """The tag above every tag, once the rows are applied; a file without the column leaves it as it is."""
    above = {tag: license.higher.tag if license.higher else None for tag, license in known.items()}
    above.update({row.tag: row.higher or None for row in rows if row.higher is not None or row.tag not in known})
    return above


def _values(row: CatalogRow) -> dict[str, Any]:
    values: dict[str, Any] = {
        "display_name": row.display_name,
        "feature_name": row.feature_name,
        "default_type": row.license_type.value,
        "enforcement": row.enforcement,
        "export_restricted": row.export_restricted,
        "product_ids": row.product_ids,
    }
    if row.billing is not None:
        values["billing"] = row.billing.value
    return values


def _point_higher(
    licenses: Mapping[str, License],
    new: Mapping[str, License],
    above: Mapping[str, str | None],
    result: ImportResult,
) -> set[str]:
    """Set `higher_id` everywhere, now that every license has an id; returns the tags of those that changed."""
    tag_of = {license.pk: tag for tag, license in licenses.items()}
    changed = set()
    for tag, license in licenses.items():
        higher = above[tag]
        wanted = licenses[higher].pk if higher else None
        if license.higher_id != wanted:
            if tag not in new:
                before = tag_of.get(license.higher_id) if license.higher_id else None
                result.changes.append({"tag": tag, "field": "higher", "before": before, "after": higher})
                changed.add(tag)
            license.higher_id = wanted
    return changed


def _settle_families(
    above: Mapping[str, str | None], known: Mapping[str, License], new_names: Mapping[str, str]
) -> dict[str, int]:
    """The family number of every tag. A family is named after its topmost license."""
    families = connect(above)
    kept = keep_numbers(families, {tag: license.family_id for tag, license in known.items()})
    names = {top: new_names.get(top) or known[top].display_name for top in families}
    rows = LicenseFamily.objects.in_bulk([number for number in kept.values() if number is not None])
    new = {top: LicenseFamily(name=names[top]) for top, number in kept.items() if number is None}
    renamed = []
    for top, number in kept.items():
        if number is not None and rows[number].name != names[top]:
            rows[number].name = names[top]
            renamed.append(rows[number])
    LicenseFamily.objects.bulk_create(new.values())
    LicenseFamily.objects.bulk_update(renamed, ["name"])
    numbers = {top: new[top].pk if number is None else number for top, number in kept.items()}
    return {tag: numbers[top] for top, tags in families.items() for tag in tags}


def _assign(row: License | SoftwareTag, values: Mapping[str, Any], result: ImportResult) -> bool:
    before = {name: getattr(row, name) for name in values}
    differing = [name for name in values if before[name] != values[name]]
    for name in differing:
        setattr(row, name, values[name])
        result.changes.append({"tag": row.tag, "field": name, "before": before[name], "after": values[name]})
    return bool(differing)


def _count(result: ImportResult, *, created: int, changed: int, rows: int) -> None:
    result.created += created
    result.changed += changed
    result.unchanged += rows - created - changed
