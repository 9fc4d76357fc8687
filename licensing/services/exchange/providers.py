"""Third parties whose keys products ask for through us: what a provider is, and which are configured.

`settings.THIRD_PARTY_PROVIDERS` names a class for each; who is not named is not enabled.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Protocol

from django.conf import settings
from django.utils.module_loading import import_string

from licensing.states import ThirdParty


@dataclass(frozen=True, slots=True)
class KeyRequest:
    """What a product asks for. `reference` is the same whenever the same is asked: a provider that gets it twice
    gives the same keys, and bills once.
    """

    reference: str
    provider: ThirdParty
    key_name: str
    key_id: str
    parameters: Mapping[str, str]
    smart_account: str
    virtual_account: str
    udi: str
    piid: str


@dataclass(frozen=True, slots=True)
class Key:
    name: str
    value: str


class ProviderDown(Exception):
    """No answer for now; another try makes sense in so many seconds."""

    def __init__(self, retry_seconds: int = 300) -> None:
        super().__init__(f"try again in {retry_seconds} s")
        self.retry_seconds = retry_seconds


class ProviderRefused(Exception):
    """The provider answers that there is no such key for this product, and why."""


class Provider(Protocol):
    """Both calls give up after a few seconds. Keys are never asked for inside of a transaction; what a server is told
    is, so it should be at hand.
    """

    def fetch_keys(self, request: KeyRequest) -> Sequence[Key]:
        """The keys. Raises `ProviderDown`, `ProviderRefused`."""

    def list_server_keys(self, *, server: str, smart_account: str) -> Sequence[Key]:
        """What an on-prem server is told of the provider, for its own products. Raises `ProviderDown`."""


def find_provider(name: ThirdParty) -> Provider | None:
    """None where it is not enabled."""
    path = settings.THIRD_PARTY_PROVIDERS.get(name.value)
    return None if not path else _load(path)


def list_server_keys(name: ThirdParty, *, server: str, smart_account: str) -> Sequence[Key] | None:
    """What an on-prem server is told of the provider; nothing while it is down, None where it is not enabled."""
    provider = find_provider(name)
    if provider is None:
        return None
    try:
        return provider.list_server_keys(server=server, smart_account=smart_account)
    except ProviderDown:
        return ()


@cache
def _load(path: str) -> Provider:
    provider: Provider = import_string(path)()
    return provider
