"""Through what a product reports. Apps above register what knows the on-prem servers."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from cssm.common.actor import Actor

DIRECT: Final = "direct"
"""The origin of products that report here, and not to an on-prem server."""


@dataclass(frozen=True, slots=True)
class Reporter:
    """An on-prem server as people call it; `path` is its page, empty for whoever may not see that."""

    name: str
    path: str


Lookup = Callable[[Actor, int], Mapping[int, Reporter]]
"""Asked with the actor and the Smart Account's key; answers by the origins' keys."""

_lookups: Final[list[Lookup]] = []


def register_reporters(lookup: Lookup) -> None:
    """Called in AppConfig.ready()."""
    if lookup not in _lookups:
        _lookups.append(lookup)


def find_reporters(*, actor: Actor, smart_account_id: int) -> Mapping[int, Reporter]:
    """All servers of the account, by their origins; products that report directly have none."""
    found: dict[int, Reporter] = {}
    for lookup in _lookups:
        found.update(lookup(actor, smart_account_id))
    return found
