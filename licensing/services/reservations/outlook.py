"""What a reservation would meet and what it would make of compliance, for looking at before. Changes nothing."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from accounts.models import VirtualAccount
from cssm.common.actor import Actor
from cssm.common.errors import Conflict
from licensing.codecs.refusals import Refusal
from licensing.codecs.request_code import WHERE
from licensing.models import ProductInstance, Reservation
from licensing.services.devices.claims import find_claim, is_reserved, refuse_foreign_claim
from licensing.services.devices.endings import require_manage as require_manage_instance
from licensing.services.ownership.transfer_preview import Place, PoolOutlook, describe_changes
from licensing.services.pools.outlooks import read_family_outlooks
from licensing.services.pools.timeline import Outlook, TermRow
from licensing.services.reservations.contents import Content
from licensing.services.reservations.requests import (
    ReadRequest,
    check_account,
    find_earlier,
    read_request,
    require_manage,
)
from licensing.services.reservations.reserve import explain_bound
from licensing.states import InstanceState


@dataclass(frozen=True, slots=True)
class Checked:
    """A request code that can be used. `earlier` is the reservation it was used for already, `replaced` the registered
    product that a reservation would end."""

    request: ReadRequest
    earlier: Reservation | None = None
    replaced: ProductInstance | None = None


def check_request(*, actor: Actor, virtual_account: VirtualAccount, request_code: str, now: datetime) -> Checked:
    """All that `reserve_licenses` would refuse of the request code now, and of its product, is raised."""
    require_manage(actor, virtual_account)
    request = read_request(request_code)
    check_account(virtual_account.smart_account, request.code.kind)
    earlier = find_earlier(smart_account_id=virtual_account.smart_account_id, request=request)
    if earlier is not None:
        return Checked(request, earlier)
    claim = find_claim(request.code.udi.udi)
    if claim is None:
        return Checked(request)
    try:
        refuse_foreign_claim(claim, smart_account_id=virtual_account.smart_account_id, now=now)
    except Refusal as refusal:
        raise Conflict(refusal.message, code=refusal.code, where=WHERE) from None
    if is_reserved(claim):
        raise Conflict(
            explain_bound(claim),
            code="UDI_RESERVED",
            where=WHERE,
        )
    found = claim.instance
    if (
        found is None
        or found.smart_account_id != virtual_account.smart_account_id
        or not InstanceState(found.state).is_active
    ):
        return Checked(request)
    require_manage_instance(actor, found)
    return Checked(request, replaced=found)


def preview_pools(
    *, virtual_account: VirtualAccount, before: Sequence[Content] = (), after: Sequence[Content], now: datetime
) -> list[PoolOutlook]:
    """Every license whose figures change when a reservation holds `after` in place of `before`. About a dozen queries.

    What is reserved stops counting at the end of its line, and so does the line.
    """
    licenses = {content.license.pk: content.license for content in (*before, *after)}
    families = {license.family_id for license in licenses.values()}
    befores = read_family_outlooks(virtual_account_ids=[virtual_account.pk], family_ids=families, now=now)
    changes: dict[Place, list[tuple[Content, int]]] = defaultdict(list)
    for contents, sign in ((before, -1), (after, 1)):
        for content in contents:
            changes[virtual_account.pk, content.license.family_id].append((content, sign * content.quantity))
    afters = {place: _with_reserved(befores[place], rows, now) for place, rows in changes.items()}
    return describe_changes([virtual_account], befores, afters)


def _with_reserved(outlook: Outlook, changes: Sequence[tuple[Content, int]], now: datetime) -> Outlook:
    needs = dict(outlook.needs)
    reliefs = list(outlook.reliefs)
    for content, quantity in changes:
        id, end = content.license.pk, content.line.end if content.line is not None else None
        if end is not None and end <= now:
            continue
        needs[id] = needs.get(id, 0) + quantity
        if end is not None:
            reliefs.append(TermRow(id, quantity, end, None))
    unlimited = frozenset(content.license.pk for content, _ in changes if content.license.is_unlimited)
    return replace(outlook, needs=needs, reliefs=reliefs, unlimited=outlook.unlimited | unlimited)
