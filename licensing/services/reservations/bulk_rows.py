"""Many request codes as people give them, by names: looked up, each by itself, ready for `reserve_many`."""

from collections import defaultdict
from collections.abc import Mapping, Sequence

from accounts.models import VirtualAccount
from cssm.common.actor import Actor
from cssm.common.errors import Invalid
from licensing.codecs.reservation_csv import CodeRow
from licensing.codecs.transfer_lines import TransferRequest
from licensing.models import License, Pool
from licensing.services.catalog.lookup import licenses_by_tag
from licensing.services.reservations.bulk import Row
from licensing.services.reservations.contents import Wanted
from licensing.services.reservations.requests import require_manage


def resolve_rows(
    *, actor: Actor, virtual_account: VirtualAccount, rows: Sequence[CodeRow], chosen: Sequence[Wanted] = ()
) -> list[Row]:
    """A row for each code, with the licenses it names, or with `chosen` where it names none.

    What is wrong with one is its `error`. Raises `NotFound`, `Forbidden` for the Virtual Account.
    """
    require_manage(actor, virtual_account)
    by_tag = licenses_by_tag({each.tag or each.license for row in rows for each in row.licenses})
    by_name = _find_names(virtual_account, {each.license for row in rows for each in row.licenses if each.license})
    return [_resolve(row, chosen, by_tag, by_name) for row in rows]


def _resolve(
    row: CodeRow, chosen: Sequence[Wanted], by_tag: Mapping[str, License], by_name: Mapping[str, list[License]]
) -> Row:
    if row.errors:
        first = row.errors[0]
        more = f" ({len(row.errors) - 1} more lines of it are wrong.)" if len(row.errors) > 1 else ""
        message = f"Line {first.line}: {first.message}{more}"
        return Row(row.request_code, error=Invalid(message, code=first.code, where=first.field))
    if not row.licenses:
        return Row(row.request_code, chosen)
    wanted = []
    for number, each in enumerate(row.licenses, start=1):
        license = _find(each, by_tag, by_name)
        if isinstance(license, Invalid):
            return Row(row.request_code, error=license)
        wanted.append(Wanted(license, each.quantity, each.license_type, each.precedence, number))
    return Row(row.request_code, wanted)


def _find(
    each: TransferRequest, by_tag: Mapping[str, License], by_name: Mapping[str, list[License]]
) -> License | Invalid:
    if found := by_tag.get(each.tag or each.license):
        return found
    named = by_name.get(each.license, []) if not each.tag else []
    if len(named) == 1:
        return named[0]
    if named:
        message = f'Line {each.line}: {len(named)} licenses here are called "{each.license}". Give the entitlementTag.'
        return Invalid(message, code="LICENSE_AMBIGUOUS", where="license")
    message = f'Line {each.line}: there is no license "{each.tag or each.license}" here.'
    return Invalid(message, code="LICENSE_UNKNOWN", where="entitlementTag" if each.tag else "license")


def _find_names(virtual_account: VirtualAccount, names: set[str]) -> dict[str, list[License]]:
    pools = Pool.objects.filter(virtual_account=virtual_account, license__display_name__in=names)
    found: dict[str, list[License]] = defaultdict(list)
    for pool in pools.select_related("license"):
        found[pool.license.display_name].append(pool.license)
    return found
