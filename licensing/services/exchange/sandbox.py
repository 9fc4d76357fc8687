"""A provider for trying out: it has a key for everybody, of no use anywhere else."""

import hashlib
from collections.abc import Sequence
from typing import Final

from licensing.services.exchange.providers import Key, KeyRequest, ProviderDown, ProviderRefused

UNKNOWN: Final = "UNKNOWN"
DOWN: Final = "DOWN"
"""Names of keys by which a developer sees what a refusal and an outage look like."""


class SandboxProvider:
    """Keys follow from what is asked, so that the same is answered however often it is asked."""

    def fetch_keys(self, request: KeyRequest) -> Sequence[Key]:
        if request.key_name == DOWN:
            raise ProviderDown(retry_seconds=60)
        if request.key_name == UNKNOWN:
            raise ProviderRefused("The sandbox has no key of this name.")
        return [Key(request.key_name, _make("key", request.reference))]

    def list_server_keys(self, *, server: str, smart_account: str) -> Sequence[Key]:
        return [Key("server", _make("server", server, smart_account))]


def _make(*parts: str) -> str:
    return f"SANDBOX-{hashlib.sha256('|'.join(parts).encode()).hexdigest()[:32].upper()}"
