"""Why a product instance seems to claim licenses twice (domain: One UDI counts once; HA).

Pure reading: what is found here `duplicates` writes down.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from django.db.models import Max, Q

from licensing.models import InstanceContact, ProductInstance, Reservation
from licensing.services.devices.ha_claims import find_registrations, judge_claim, peers_of
from licensing.states import DuplicateKind, DuplicateReason

SILENT_AFTER: Final = timedelta(days=30)
"""Products ask for authorization every 30 days; one that has not may be gone."""


@dataclass(frozen=True, slots=True)
class Suspicion:
    """`other_id` is the instance that it doubles; none where that one is in another Smart Account."""

    instance_id: int
    kind: DuplicateKind
    reason: DuplicateReason
    other_id: int | None


def suspect(instance_ids: Collection[int], *, now: datetime) -> list[Suspicion]:
    """What speaks against the instances, at most one suspicion of each kind. A handful of queries for all of them."""
    rows = list(ProductInstance.objects.active().filter(pk__in=instance_ids).select_related("contact"))
    return [
        *_find_same_udi(rows),
        *_find_replaced(rows, now),
        *_find_broken_claims(rows),
        *_find_returned(rows),
    ]


def last_contact(instance: ProductInstance) -> datetime:
    """What was heard of it last; its registration where no message came since, or it reports to somebody else."""
    contact = _contact(instance)
    return instance.registered_at if contact is None else contact.last_contact_at


def _contact(instance: ProductInstance) -> InstanceContact | None:
    found: InstanceContact | None = getattr(instance, "contact", None)
    return found


def _find_same_udi(rows: Sequence[ProductInstance]) -> Iterable[Suspicion]:
    """Of several registrations of one UDI in one Smart Account, all but the one with the latest contact."""
    accounts, udis = {row.smart_account_id for row in rows}, {row.udi for row in rows}
    twins = ProductInstance.objects.active().filter(smart_account__in=accounts, udi__in=udis).select_related("contact")
    groups: dict[tuple[int, str], list[ProductInstance]] = defaultdict(list)
    for twin in twins:
        groups[twin.smart_account_id, twin.udi].append(twin)
    for row in rows:
        latest = max(groups[row.smart_account_id, row.udi], key=lambda twin: (last_contact(twin), twin.pk), default=row)
        if latest.pk != row.pk:
            yield Suspicion(row.pk, DuplicateKind.SAME_UDI, DuplicateReason.LATER_CONTACT, latest.pk)


def _find_replaced(rows: Sequence[ProductInstance], now: datetime) -> Iterable[Suspicion]:
    """Those long silent in whose place a newer product of the same kind stands, under the same name or address."""
    silent = [row for row in rows if row.udi_pid and _is_silent(row, now)]
    if not silent:
        return
    named = Q(host_identifier__in=_known(row.host_identifier for row in silent))
    named |= Q(hostname__in=_known(row.hostname for row in silent))
    named |= Q(mac_address__in=_known(row.mac_address for row in silent))
    successors = ProductInstance.objects.active().filter(
        named, virtual_account__in={row.virtual_account_id for row in silent}
    )
    places: dict[tuple[int, str], list[ProductInstance]] = defaultdict(list)
    for successor in successors.select_related("contact").order_by("-registered_at", "-pk"):
        places[successor.virtual_account_id, successor.udi_pid].append(successor)
    for row in silent:
        for successor in places[row.virtual_account_id, row.udi_pid]:
            reason = _same_place(row, successor)
            if reason is not None and _succeeds(successor, row):
                yield Suspicion(row.pk, DuplicateKind.REPLACED_HARDWARE, reason, successor.pk)
                break


def _is_silent(row: ProductInstance, now: datetime) -> bool:
    contact = _contact(row)  # none: an on-prem server hears of it, not we
    return contact is not None and contact.last_contact_at < now - SILENT_AFTER


def _known(values: Iterable[str]) -> set[str]:
    return {value for value in values if value}


def _same_place(row: ProductInstance, other: ProductInstance) -> DuplicateReason | None:
    if row.host_identifier and row.host_identifier == other.host_identifier:
        return DuplicateReason.SAME_HOST_IDENTIFIER
    if row.hostname and row.hostname == other.hostname:
        return DuplicateReason.SAME_HOST_NAME
    addresses = (row.ip_address, row.mac_address)
    if all(addresses) and addresses == (other.ip_address, other.mac_address):
        return DuplicateReason.SAME_ADDRESSES
    return None


def _succeeds(newer: ProductInstance, older: ProductInstance) -> bool:
    """Other hardware, here later and heard of later; peers in high availability share a name and may well be silent."""
    if newer.udi == older.udi or newer.udi in older.ha_peers or older.udi in newer.ha_peers:
        return False
    return newer.registered_at > older.registered_at and last_contact(newer) > last_contact(older)


def _find_broken_claims(rows: Sequence[ProductInstance]) -> Iterable[Suspicion]:
    claimants = [row for row in rows if row.ha_peers]
    registered = find_registrations({udi for row in claimants for udi in peers_of(row)}) if claimants else {}
    for row in claimants:
        verdict = judge_claim(row, registered)
        if verdict.fault is not None:
            yield Suspicion(row.pk, DuplicateKind.HA_CLAIM, verdict.fault, verdict.other_id)


def _find_returned(rows: Sequence[ProductInstance]) -> Iterable[Suspicion]:
    """Products that were seen again after their return code was entered: it proves no removal."""
    given_back = Reservation.objects.requested().filter(udi__in={row.udi for row in rows}, returned_at__isnull=False)
    last = given_back.order_by().values_list("smart_account", "udi").annotate(at=Max("returned_at"))
    returned = {(account, udi): at for account, udi, at in last}
    for row in rows:
        at = returned.get((row.smart_account_id, row.udi))
        if at is not None and row.registered_at > at:
            yield Suspicion(row.pk, DuplicateKind.RETURNED, DuplicateReason.RETURN_CODE_ENTERED, None)
