"""Changing which license stands in for another, one at a time; pools follow Virtual Account by Virtual Account."""

from collections.abc import Mapping
from datetime import datetime
from typing import Final

from django.db import transaction

from accounts.services.events import record_event
from cssm.common.actor import Actor
from cssm.common.errors import Invalid, NotFound
from cssm.common.permissions import Permission
from licensing.models import License
from licensing.services.catalog.families import find_cycle
from licensing.services.catalog.imports import advance_catalog, lock_catalog
from licensing.services.catalog.writing import ImportResult, write_licenses

NONE: Final = "none"


def set_higher(*, actor: Actor, tag: str, higher: str, now: datetime) -> bool:
    """Let the license `higher` stand in for `tag`, or none where it is empty; returns whether that changed anything.

    A new version of the family's hierarchy is written, and its pools follow in the background. Raises `Forbidden`
    unless the actor is an operator, `NotFound` for a tag of no license, and `Invalid`: LICENSE_UNKNOWN for a higher one
    of no license, CYCLE naming the cycle.
    """
    actor.require(Permission.OPERATE)
    with transaction.atomic():
        head, licenses = lock_catalog(now=now)
        above = check_higher(licenses, tag=tag, higher=higher)
        before = licenses[tag].higher
        if (before.tag if before else "") == higher:
            return False
        write_licenses([], licenses, ImportResult(), actor=actor, now=now, above=above)
        version = advance_catalog(head, now=now)
        _record(actor, licenses[tag], before, licenses.get(higher), version, now)
    return True


def check_higher(licenses: Mapping[str, License], *, tag: str, higher: str) -> dict[str, str | None]:
    """The tag above every tag as it would be; `licenses` are all by tag, with `higher`. Raises as `set_higher`."""
    if tag not in licenses:
        raise NotFound(f'No license has the tag "{tag}".', where="entitlementTag")
    if higher and higher not in licenses:
        raise Invalid(f'No license has the tag "{higher}".', code="LICENSE_UNKNOWN", where="higher")
    above = {each.tag: each.higher.tag if each.higher else None for each in licenses.values()}
    above[tag] = higher or None
    if cycle := find_cycle(above):
        names = [f"{licenses[each].display_name} ({each})" for each in [*cycle, cycle[0]]]
        raise Invalid(
            f"These licenses would be higher than each other: {' → '.join(names)}. Choose another, or clear one of them"
            " first.",
            code="CYCLE",
            where="higher",
            details={"cycle": cycle},
        )
    return above


def _record(
    actor: Actor, license: License, before: License | None, after: License | None, version: int, now: datetime
) -> None:
    record_event(
        actor=actor,
        name="catalog.hierarchy_changed",
        smart_account=None,
        subject_type="license",
        subject_id=license.tag,
        data={
            "license": license.display_name,
            "tag": license.tag,
            "before": before.display_name if before else NONE,
            "after": after.display_name if after else NONE,
            "before_tag": before.tag if before else "",
            "after_tag": after.tag if after else "",
            "version": version,
        },
        now=now,
    )
