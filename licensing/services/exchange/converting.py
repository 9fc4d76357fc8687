"""Lines of classic licenses become purchase lines: all lines of a conversion or none, each once per product.

What makes it once is a row that no second conversion of the product can insert (`ConvertedLine`), whoever asks for it
and however many ask at once; it stands in the transaction of the purchase lines.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db import transaction

from accounts.models import VirtualAccount
from cssm.common.actor import Actor
from licensing.codecs.conversion_reasons import Reason
from licensing.codecs.refusals import Refusal
from licensing.models import Conversion, ConversionLine, ConvertedLine, License, OwnershipRecord, PurchaseLine
from licensing.services.catalog.lookup import licenses_by_tag
from licensing.services.devices.claims import find_claim, refuse_foreign_claim
from licensing.services.ownership.records import write_record
from licensing.services.pools.fold import fold_units
from licensing.services.pools.units import ensure_pools, lock_pools
from licensing.states import LineSource, RecordKind, TransitionCause
from licensing.states.conversions import ConversionReason


@dataclass(slots=True)
class Verdict:
    """What becomes of one conversion: the lines that are new, or why none is converted."""

    fresh: list[ConversionLine] = field(default_factory=list)
    record: OwnershipRecord | None = None
    code: str = ""
    reasons: Sequence[Reason] = ()


class _Refused(Exception):
    def __init__(self, code: ConversionReason, *reasons: Reason) -> None:
        super().__init__(code.value)
        self.code, self.reasons = code.value, reasons


def convert_lines(*, actors: Mapping[int, Actor], conversions: Sequence[Conversion], now: datetime) -> list[Verdict]:
    """A verdict for each, in the caller's transaction, which has locked them; `actors` by their ids.

    Everything is locked in one order: Virtual Accounts, the products' lines, then all pools at once.
    """
    accounts = VirtualAccount.objects.select_for_update(no_key=True, of=("self",)).live().order_by("pk")
    live = {row.pk for row in accounts.filter(pk__in={row.virtual_account_id for row in conversions})}
    verdicts = {row.pk: Verdict() for row in conversions}
    for row in sorted(conversions, key=lambda each: (each.udi, each.pk)):
        try:
            with transaction.atomic():
                verdicts[row.pk].fresh = _take_lines(row, is_live=row.virtual_account_id in live, now=now)
        except _Refused as refused:
            verdicts[row.pk].code, verdicts[row.pk].reasons = refused.code, refused.reasons
    if taken := [(row, verdicts[row.pk]) for row in conversions if verdicts[row.pk].fresh]:
        _write(actors, taken, now)
    return [verdicts[row.pk] for row in conversions]


def _take_lines(row: Conversion, *, is_live: bool, now: datetime) -> list[ConversionLine]:
    """Mark the lines as converted; those that were not before are returned. Raises `_Refused`."""
    if not is_live:
        raise _Refused(ConversionReason.VIRTUAL_ACCOUNT_GONE, ["gone", {}])
    _refuse_foreign(row, now)
    lines = list(row.lines.order_by("number"))
    _find_licenses(lines)
    ConvertedLine.objects.bulk_create(
        [
            ConvertedLine(
                smart_account_id=row.smart_account_id,
                virtual_account_id=row.virtual_account_id,
                conversion=row,
                udi=row.udi,
                key=line.key,
                quantity=line.quantity,
                at=now,
            )
            for line in sorted(lines, key=lambda each: each.key)
        ],
        # Whoever inserts the same line at this moment is waited for.
        ignore_conflicts=True,
    )
    standing = {each.key: each for each in ConvertedLine.objects.filter(udi=row.udi, key__in=[x.key for x in lines])}
    earlier = [(line, standing[line.key]) for line in lines if standing[line.key].conversion_id != row.pk]
    if any(before.smart_account_id != row.smart_account_id for _, before in earlier):
        raise _Refused(ConversionReason.CONVERTED_ELSEWHERE, ["elsewhere", {}])
    different = [
        ["differently", {**_show(line), "before": before.quantity, "day": f"{before.at:%Y-%m-%d}"}]
        for line, before in earlier
        if before.quantity != line.quantity
    ]
    if different:
        raise _Refused(ConversionReason.CONVERTED_DIFFERENTLY, *different)
    known = {line.key for line, _ in earlier}
    return [line for line in lines if line.key not in known]


def _refuse_foreign(row: Conversion, now: datetime) -> None:
    claim = find_claim(row.udi)
    if claim is None:
        return
    try:
        refuse_foreign_claim(claim, smart_account_id=row.smart_account_id, now=now)
    except Refusal:
        raise _Refused(ConversionReason.UDI_REGISTERED_ELSEWHERE, ["registered", {}]) from None


def _find_licenses(lines: Sequence[ConversionLine]) -> None:
    licenses: Mapping[str, License] = licenses_by_tag({line.tag for line in lines})
    unknown = [["unknown", _show(line)] for line in lines if line.tag not in licenses]
    if unknown:
        raise _Refused(ConversionReason.LICENSE_UNKNOWN, *unknown)
    for line in lines:
        line.license = licenses[line.tag]


def _show(line: ConversionLine) -> dict[str, Any]:
    return {"line": line.number, "tag": line.tag, "count": line.quantity}


def _write(actors: Mapping[int, Actor], taken: Sequence[tuple[Conversion, Verdict]], now: datetime) -> None:
    """The purchase lines of all, each conversion as a record of its own."""
    by_account: dict[tuple[int, int], dict[int, License]] = {}
    for row, verdict in taken:
        wanted = by_account.setdefault((row.smart_account_id, row.virtual_account_id), {})
        wanted.update({line.license.pk: line.license for line in verdict.fresh if line.license is not None})
    pools = [
        pool.pk
        for (smart_account_id, virtual_account_id), licenses in sorted(by_account.items())
        for pool in ensure_pools(
            smart_account_id=smart_account_id, virtual_account_id=virtual_account_id, licenses=licenses.values()
        ).values()
    ]
    units = {pool.unit_id for pool in lock_pools(pools)}
    for row, verdict in taken:
        verdict.record = write_record(
            actor=actors[row.pk],
            kind=RecordKind.CONVERSION,
            smart_account_id=row.smart_account_id,
            virtual_account_id=row.virtual_account_id,
            key=f"conversion:{row.pk}",
            content_digest=row.content_digest,
            now=now,
        )
        PurchaseLine.objects.bulk_create(_purchase_line(row, line, verdict.record, now) for line in verdict.fresh)
    fold_units(unit_ids=units, now=now, cause=TransitionCause.CONVERSION, recompute=True)


def _purchase_line(row: Conversion, line: ConversionLine, record: OwnershipRecord, now: datetime) -> PurchaseLine:
    """A classic license says nothing of its term: the catalog's type rules, and it has no end."""
    license = line.license
    assert license is not None  # noqa: S101  `_find_licenses` refuses a line without
    return PurchaseLine(
        smart_account_id=row.smart_account_id,
        virtual_account_id=row.virtual_account_id,
        license=license,
        record=record,
        quantity=line.quantity,
        license_type=license.default_type,
        start=now,
        source=LineSource.CONVERSION,
        created_at=now,
    )
