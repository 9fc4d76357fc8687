"""Whether a claim to be one of a high-availability group holds (domain: HA). Reading only."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from licensing.models import ProductInstance
from licensing.states import DuplicateReason

MOST_IN_GROUP: Final = 8


class Claimant(Protocol):
    """Who names peers: a product instance, or one as its message says it is."""

    @property
    def pk(self) -> int: ...
    @property
    def udi(self) -> str: ...
    @property
    def smart_account_id(self) -> int: ...
    @property
    def virtual_account_id(self) -> int: ...
    @property
    def udi_pid(self) -> str: ...
    @property
    def software_tag(self) -> str: ...
    @property
    def ha_peers(self) -> list[str]: ...


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a claim comes to. `fault` says why it does not hold, `other_id` because of whom; else `members` are the
    registered peers, who may be none.
    """

    members: tuple[ProductInstance, ...] = ()
    fault: DuplicateReason | None = None
    other_id: int | None = None


def peers_of(row: Claimant) -> list[str]:
    """Each other product that it names, once."""
    return [udi for udi in dict.fromkeys(row.ha_peers) if udi != row.udi]


def find_registrations(udis: Collection[str]) -> Mapping[str, Sequence[ProductInstance]]:
    """What is registered under each UDI, in any Smart Account."""
    found: dict[str, list[ProductInstance]] = defaultdict(list)
    for peer in ProductInstance.objects.active().filter(udi__in=udis).order_by("pk"):
        found[peer.udi].append(peer)
    return found


def judge_claim(row: Claimant, registrations: Mapping[str, Sequence[ProductInstance]]) -> Verdict:
    """A peer that is not registered anywhere claims nothing itself; all that are must name each other."""
    peers = peers_of(row)
    if len(peers) >= MOST_IN_GROUP:
        return Verdict(fault=DuplicateReason.GROUP_TOO_LARGE)
    members: list[ProductInstance] = []
    for udi in peers:
        if registered := registrations.get(udi, ()):
            verdict = _find_member(row, registered)
            if verdict.fault is not None:
                return verdict
            members += verdict.members
    for member in members:
        others = {other.udi for other in members if other.pk != member.pk}
        if not others <= set(member.ha_peers):
            return Verdict(fault=DuplicateReason.PEERS_DIFFER, other_id=member.pk)
    return Verdict(members=tuple(members))


def _find_member(row: Claimant, registered: Iterable[ProductInstance]) -> Verdict:
    own = [peer for peer in registered if peer.smart_account_id == row.smart_account_id]
    if not own:
        return Verdict(fault=DuplicateReason.OTHER_SMART_ACCOUNT)
    faults = [(_mismatch(row, peer), peer) for peer in own]
    for fault, peer in faults:
        if fault is None:
            return Verdict(members=(peer,))
    return Verdict(fault=faults[0][0], other_id=faults[0][1].pk)


def _mismatch(row: Claimant, peer: ProductInstance) -> DuplicateReason | None:
    if peer.virtual_account_id != row.virtual_account_id:
        return DuplicateReason.OTHER_VIRTUAL_ACCOUNT
    if peer.udi_pid != row.udi_pid:
        return DuplicateReason.OTHER_PRODUCT
    if peer.software_tag != row.software_tag:
        return DuplicateReason.OTHER_SOFTWARE
    return None if row.udi in peer.ha_peers else DuplicateReason.NOT_MUTUAL
