"""Keys of third parties (WP "Third-party licenses"), asked for through the license service. They are not kept here."""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from agents.smart_agent.client import SmartAgent
from agents.smart_agent.errors import UsageError, VerificationFailed
from agents.smart_agent.messages import RequestType, Response
from agents.smart_agent.state import State

PROVIDERS: Final = ("SPEECHVIEW", "APNS", "PNP")


class ThirdPartyKey(msgspec.Struct, frozen=True):
    name: str
    value: str


class ThirdPartyAnswer(msgspec.Struct, frozen=True, kw_only=True):
    virtual_account: str
    sudi: dict[str, Any]
    piid: str
    keys: list[ThirdPartyKey]


def fetch_keys(
    agent: SmartAgent, *, provider: str, key_name: str, key_id: str = "", parameters: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """The status, with `keys`. A provider that does not answer is a refusal with a time to try again."""
    if provider not in PROVIDERS or not key_name:
        raise UsageError(f"Give a provider ({', '.join(PROVIDERS)}) and the name of a key.")
    data: dict[str, Any] = {"provider": provider, "key_name": key_name}
    data |= {name: value for name, value in {"key_id": key_id, "parameters": dict(parameters or {})}.items() if value}
    keys: list[dict[str, str]] = []

    def note(state: State, response: Response) -> None:
        try:
            answer = msgspec.convert(response.data, ThirdPartyAnswer)
        except msgspec.ValidationError as error:
            raise VerificationFailed(f"The answer holds no keys: {error}.") from None
        known, product = state.identity, state.product
        if known is None or product is None or answer.piid != known.piid:
            raise VerificationFailed("The keys are for another registration.")
        if answer.sudi != msgspec.to_builtins(product.sudi):
            raise VerificationFailed("The keys are for another product.")
        keys.extend({"name": key.name, "value": key.value} for key in answer.keys)

    return agent.ask(RequestType.THIRD_PARTY_KEY, data, note) | {"keys": keys}
