"""Export Authorization Keys (WP "U.S. Export Control"): what the product may use only with a key of its own.

A key is an authorization code with one entitlement. It is believed if the authority that signs reservations signed it,
for this product and its present registration, and works with no other.
"""

from datetime import datetime
from typing import Any, Final

import msgspec
from cryptography.hazmat.primitives.asymmetric import ec

from agents.common.trust import load_certificate, verify_signer
from agents.smart_agent import reservation_codes as codes
from agents.smart_agent.client import MAX_COUNT, SmartAgent
from agents.smart_agent.errors import NetworkFailure, Refused, UsageError, VerificationFailed
from agents.smart_agent.messages import RequestType, Response
from agents.smart_agent.registration import load_root
from agents.smart_agent.state import ExportKey, State

SIGNER_PATH: Final = "/pki/reservation-signing.pem"
MAX_SIGNER: Final = 64 * 1024


def request_key(agent: SmartAgent, *, tag: str, count: int = 1, signer: str = "") -> dict[str, Any]:
    """Ask for a key for so many units in all, and install it. Returns the status with `authorization_key`.

    `signer` is the certificate (PEM) that keys are verified with; empty to use the known one, or to fetch it from the
    server, which anyone may do: it is believed for what the root says of it.
    """
    if not tag or not 1 <= count <= MAX_COUNT:
        raise UsageError(f"A key is for a tag with a count of 1 to {MAX_COUNT}.")
    state = agent.peek()
    trusted, failure = signer or state.reservation.signer, None
    try:
        trusted = trusted or fetch_signer(agent)
        key = _load_signer(state, trusted, at=agent.time())
    except (NetworkFailure, Refused) as error:
        failure = error  # an on-prem server has no such certificate, and gives no keys: let it say so
    received = ""

    def note(state: State, response: Response) -> None:
        nonlocal received
        if failure is not None:
            raise failure
        received = _install(state, response, tag=tag, count=count, signer=key)
        state.reservation = msgspec.structs.replace(state.reservation, signer=trusted)

    data = {"tag": tag, "count": count}
    outcome = agent.ask(RequestType.EXPORT_AUTHORIZATION, data, note)
    return outcome | {"authorization_key": received}


def return_key(agent: SmartAgent, *, tag: str) -> dict[str, Any]:
    """Forget the key and make its return code; afterwards the same code again. Returns the status with it."""
    code = ""

    def note(state: State) -> None:
        nonlocal code
        known = next((one for one in state.export_keys if one.tag == tag), None)
        if known is None:
            raise UsageError(f"There is no export authorization key for {tag}.")
        code = known.return_code
        if known.authorization is not None:
            code = codes.make_return_code(known.authorization)
            _replace(state, msgspec.structs.replace(known, authorization=None, return_code=code))

    return agent.change(note) | {"return_code": code}


def _install(state: State, response: Response, *, tag: str, count: int, signer: ec.EllipticCurvePublicKey) -> str:
    text = response.data.get("authorization_key")
    if not isinstance(text, str) or state.identity is None or state.product is None:
        raise VerificationFailed("The answer holds no authorization key.")
    sudi = state.product.sudi
    own = codes.udi_text(sudi.udi_pid, sudi.udi_serial_number, sudi.uuid)
    authorization = codes.read_export_key(text.encode(), udi=own, signer=signer)
    entitlement = authorization.entitlements[0]
    if authorization.piid != state.identity.piid:
        raise VerificationFailed("The authorization key is for another registration.")
    if (entitlement.tag, entitlement.count) != (tag, count):
        raise VerificationFailed("The authorization key is for something else than was asked for.")
    known = next((one for one in state.export_keys if one.tag == tag), None)
    is_same = known is not None and known.authorization == authorization
    if not is_same and known is not None and authorization.timestamp <= known.newest:
        raise VerificationFailed("This key is not newer than the last one that was installed or returned here.")
    _replace(state, ExportKey(tag=tag, authorization=authorization, newest=authorization.timestamp))
    return text


def _replace(state: State, key: ExportKey) -> None:
    state.export_keys = [one for one in state.export_keys if one.tag != key.tag] + [key]


def fetch_signer(agent: SmartAgent) -> str:
    """The certificate (PEM) that the server names for codes and keys; nothing of it is verified yet."""
    content = agent.fetch(SIGNER_PATH)
    if len(content) > MAX_SIGNER:
        raise VerificationFailed("What the server gives as the signer's certificate is too large.")
    first, end, _ = content.decode("ascii", "replace").partition("-----END CERTIFICATE-----")
    return f"{first}{end}\n"


def _load_signer(state: State, signer: str, *, at: datetime) -> ec.EllipticCurvePublicKey:
    certificate = load_certificate(signer, "reservation signing certificate")
    return verify_signer(certificate, load_root(state.root, at=at), at=at)
