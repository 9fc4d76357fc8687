"""Importing the catalog: all of a file or nothing of it, and no trace where it changes nothing."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Final

from django.conf import settings
from django.db import transaction

from accounts.services.events import record_event
from cssm.common.actor import Actor
from cssm.common.errors import Invalid
from cssm.common.jobs import nudge
from cssm.common.permissions import Permission
from licensing.codecs.catalog_csv import CatalogRow, Kind, RowError, read_catalog
from licensing.models import CatalogHead, License, SoftwareTag
from licensing.services.catalog.families import find_cycle
from licensing.services.catalog.lookup import forget_licenses
from licensing.services.catalog.writing import ImportResult, highers, write_licenses, write_software

SHIPPED: Final = Path(settings.BASE_DIR) / "licensing" / "data" / "catalog.csv"
MOST_CHANGES_LISTED: Final = 200


def import_catalog(*, actor: Actor, rows: Iterable[str], now: datetime, only_new: bool = False) -> ImportResult:
    """Add and change the tags of a CSV given line by line, header first; tags it does not name stay as they are.

    With `only_new` the tags that are known already stay as they are too. A family whose licenses change keeps its
    number where it can; pools whose license moved to another family, or changed its billing, follow in the background.
    Raises `Forbidden` unless the actor is an operator, and `Invalid` (CATALOG_INVALID) with
    `details["errors"] = [{line, column, code, message}]` and nothing changed.
    """
    actor.require(Permission.OPERATE)
    read, errors = read_catalog(rows)
    if errors:
        raise _refusal(errors)
    with transaction.atomic():
        head, licenses = lock_catalog(now=now)
        software = {tag.tag: tag for tag in SoftwareTag.objects.all()}
        result = ImportResult(version=head.version)
        if only_new:
            named = len(read)
            read = [row for row in read if row.tag not in licenses and row.tag not in software]
            result.unchanged = named - len(read)
        entitlements = [row for row in read if row.kind is Kind.ENTITLEMENT]
        if errors := _check(read, entitlements, licenses, software):
            raise _refusal(errors)
        write_software([row for row in read if row.kind is Kind.SOFTWARE], software, result)
        write_licenses(entitlements, licenses, result, actor=actor, now=now)
        if result.created or result.changed:
            result.version = advance_catalog(head, now=now)
            _record(actor, result, now)
    return result


def lock_catalog(*, now: datetime) -> tuple[CatalogHead, dict[str, License]]:
    """The head of the catalog and all its licenses by tag, with `higher`, under the head's lock: changes of it come one
    by one, and not while pools are made (`keep_catalog`)."""
    CatalogHead.objects.get_or_create(id=1, defaults={"changed_at": now})
    head = CatalogHead.objects.select_for_update().get(id=1)
    return head, {license.tag: license for license in License.objects.order_by("pk").select_related("higher")}


def advance_catalog(head: CatalogHead, *, now: datetime) -> int:
    """The number of the catalog's new state; caches and pools follow once this is committed."""
    head.version, head.changed_at = head.version + 1, now
    head.save()
    transaction.on_commit(forget_licenses)
    nudge("licensing.fold_pools")
    return head.version


def import_shipped_catalog(*, actor: Actor, now: datetime) -> ImportResult:
    """Add the tags that come with the product. What an operator imported over them stays."""
    with SHIPPED.open(encoding="utf-8", newline="") as file:
        return import_catalog(actor=actor, rows=file, now=now, only_new=True)


def _check(
    rows: Sequence[CatalogRow],
    entitlements: Sequence[CatalogRow],
    licenses: Mapping[str, License],
    software: Mapping[str, SoftwareTag],
) -> list[RowError]:
    """What can be told only with the catalog and the whole file in view."""
    line_of = {row.tag: row.line for row in entitlements}
    errors = []
    for row in rows:
        if row.tag in (software if row.kind is Kind.ENTITLEMENT else licenses):
            errors.append(RowError(row.line, "kind", "KIND_CHANGED", "This tag is known as one of the other kind."))
        if row.higher and row.higher not in licenses and row.higher not in line_of:
            errors.append(RowError(row.line, "higher", "UNKNOWN_TAG", f"No license has the tag {row.higher}."))
    if cycle := find_cycle(highers(entitlements, licenses)):
        line = max(line_of.get(tag, 0) for tag in cycle)
        circle = " → ".join([*cycle, cycle[0]])
        errors.append(RowError(line, "higher", "CYCLE", f"These licenses are higher than each other: {circle}."))
    return errors


def _refusal(errors: Sequence[RowError]) -> Invalid:
    first = errors[0]
    return Invalid(
        f"The catalog was not imported: {len(errors)} error(s), the first on line {first.line}: {first.message}",
        code="CATALOG_INVALID",
        where=f"line {first.line}" + (f", {first.column}" if first.column else ""),
        details={"errors": [error.as_dict() for error in errors]},
    )


def _record(actor: Actor, result: ImportResult, now: datetime) -> None:
    record_event(
        actor=actor,
        name="catalog.imported",
        smart_account=None,
        subject_type="catalog",
        subject_id=result.version,
        data={
            "version": result.version,
            "created": result.created,
            "changed": result.changed,
            "changes": result.changes[:MOST_CHANGES_LISTED],
        },
        now=now,
    )
