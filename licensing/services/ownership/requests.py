"""Transfers as people and programs ask for them, by names: looked up, and everything wrong with them told at once."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Final

from accounts.models import VirtualAccount
from cssm.common.actor import Actor
from cssm.common.errors import Conflict, DomainError, Forbidden, Invalid, NotFound
from cssm.common.permissions import Permission
from licensing.codecs.transfer_lines import LineError, TransferRequest
from licensing.models import License, Pool
from licensing.services.ownership.transfer_preview import PoolOutlook, preview_transfer
from licensing.services.ownership.transfers import TransferLine, refusal

UNKNOWN_ACCOUNT: Final = "VIRTUAL_ACCOUNT_UNKNOWN"
NO_RIGHT: Final = "FORBIDDEN"


def list_targets(*, actor: Actor, source: VirtualAccount) -> list[VirtualAccount]:
    """Where the actor may transfer to from `source`, by name."""
    accounts = VirtualAccount.objects.live().visible_to(actor, Permission.MANAGE_ASSETS)
    return list(accounts.filter(smart_account=source.smart_account_id).exclude(pk=source.pk).order_by("name"))


def resolve_lines(*, actor: Actor, source: VirtualAccount, requests: Sequence[TransferRequest]) -> list[TransferLine]:
    """The lines for `transfer_licenses`, which tells the rest. Raises for names as `prepare_lines` does."""
    actor.require(Permission.MANAGE_ASSETS, smart_account_id=source.smart_account_id, virtual_account_id=source.pk)
    wrong: list[dict[str, Any]] = []
    lines = _look_up(actor, source, requests, wrong)
    if wrong:
        raise refusal(_kind_of(wrong, {Invalid}), "TRANSFER_INVALID", _sorted(wrong))
    return lines


def prepare_lines(
    *,
    actor: Actor,
    source: VirtualAccount,
    requests: Sequence[TransferRequest],
    errors: Iterable[LineError] = (),
    now: datetime,
) -> tuple[list[TransferLine], list[PoolOutlook]]:
    """The lines for `transfer_licenses`, and what they would make of compliance.

    `errors` are those of reading the request. Where anything is wrong, be it there, with a name or with a quantity, all
    of it is raised together as `details["errors"] = [{line, field, code, message}]`: `Invalid`, or `Conflict` where
    only the present state is in the way, or `NotFound` or `Forbidden` where it is all about the target.
    """
    actor.require(Permission.MANAGE_ASSETS, smart_account_id=source.smart_account_id, virtual_account_id=source.pk)
    wrong = [error.as_dict() for error in errors]
    lines = _look_up(actor, source, requests, wrong)
    kinds: set[type[DomainError]] = {Invalid} if wrong else set()
    outlook: list[PoolOutlook] = []
    # What is wrong with single lines comes first, then what the others lack together.
    for _ in range(2):
        if not lines and wrong:
            break
        try:
            outlook = preview_transfer(actor=actor, source=source, lines=lines, now=now)
        except (Invalid, Conflict) as refused:
            found = refused.details.get("errors")
            if found is None:
                raise
            wrong += found
            kinds.add(type(refused))
            lines = [line for line in lines if line.number not in {error["line"] for error in found}]
        else:
            break
    if wrong:
        raise refusal(
            _kind_of(wrong, kinds), "TRANSFER_REFUSED" if kinds == {Conflict} else "TRANSFER_INVALID", _sorted(wrong)
        )
    return lines, outlook


def _kind_of(wrong: Sequence[dict[str, Any]], kinds: set[type[DomainError]]) -> type[DomainError]:
    codes = {error["code"] for error in wrong}
    if codes == {UNKNOWN_ACCOUNT}:
        return NotFound
    if codes == {NO_RIGHT}:
        return Forbidden
    return Conflict if kinds == {Conflict} else Invalid


def _sorted(wrong: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(wrong, key=lambda error: int(error["line"]))


def _look_up(
    actor: Actor, source: VirtualAccount, requests: Sequence[TransferRequest], wrong: list[dict[str, Any]]
) -> list[TransferLine]:
    """The lines whose names are known; what is wrong with the others is added to `wrong`."""
    targets = _find_targets(source, {request.target for request in requests})
    by_tag = {row.tag: row for row in License.objects.filter(tag__in={r.tag or r.license for r in requests})}
    by_name = _find_names(source, {request.license for request in requests if request.license})
    lines = []
    for request in requests:
        errors: list[LineError] = []
        license = by_tag.get(request.tag) if request.tag else _choose(request, by_name, by_tag, errors)
        if license is None and not errors:
            field, name = ("entitlementTag", request.tag) if request.tag else ("license", request.license)
            errors.append(LineError(request.line, field, "LICENSE_UNKNOWN", f'The catalog has no license "{name}".'))
        target = targets.get(request.target.casefold())
        if target is None or not actor.may(
            Permission.VIEW, smart_account_id=source.smart_account_id, virtual_account_id=target.pk
        ):
            message = f'There is no Virtual Account "{request.target}", or you have no access to it.'
            errors.append(LineError(request.line, "targetVirtualAccount", UNKNOWN_ACCOUNT, message))
        elif not actor.may(
            Permission.MANAGE_ASSETS, smart_account_id=source.smart_account_id, virtual_account_id=target.pk
        ):
            message = f"Your role does not allow transfers to {target.name}."
            errors.append(LineError(request.line, "targetVirtualAccount", NO_RIGHT, message))
        wrong += [error.as_dict() for error in errors]
        if license is not None and target is not None and not errors:
            lines.append(
                TransferLine(license, request.quantity, target, request.license_type, request.precedence, request.line)
            )
    return lines


def _choose(
    request: TransferRequest, by_name: dict[str, list[License]], by_tag: dict[str, License], errors: list[LineError]
) -> License | None:
    """Of several licenses of one name none is meant, unless only one of them is here; a tag may stand for a name."""
    found = by_name.get(request.license, [])
    if len(found) > 1:
        tags = ", ".join(license.tag for license in found[:5])
        message = f'{len(found)} licenses are called "{request.license}". Give the entitlementTag: {tags}.'
        errors.append(LineError(request.line, "license", "LICENSE_AMBIGUOUS", message))
        return None
    return found[0] if found else by_tag.get(request.license)


def _find_names(source: VirtualAccount, names: set[str]) -> dict[str, list[License]]:
    found: dict[str, list[License]] = {}
    for license in License.objects.filter(display_name__in=names).order_by("tag"):
        found.setdefault(license.display_name, []).append(license)
    here = set(
        Pool.objects.filter(virtual_account=source, license__display_name__in=names).values_list("license", flat=True)
    )
    for name, licenses in found.items():
        found[name] = [license for license in licenses if license.pk in here] or licenses
    return found


def _find_targets(source: VirtualAccount, names: set[str]) -> dict[str, VirtualAccount]:
    """By name in lower case: a name means one Virtual Account whatever its case."""
    live = VirtualAccount.objects.live().filter(smart_account=source.smart_account_id)
    wanted = {name.casefold() for name in names}
    return {account.name.casefold(): account for account in live if account.name.casefold() in wanted}
