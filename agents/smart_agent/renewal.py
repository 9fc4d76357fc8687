"""A renewal: a new identity is asked for with the old key, kept beside the old one, and takes over once acknowledged.

Both identities are on disk from before the ACK until its answer is proven, so that whatever gets lost, one of them is
accepted: the old one until the server has seen the new one at work, at most 7 days.
"""

from collections.abc import Callable
from datetime import datetime

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa

from agents.smart_agent.errors import UsageError
from agents.smart_agent.exchange import Exchange, drop_pending
from agents.smart_agent.messages import RequestType
from agents.smart_agent.registration import Registration
from agents.smart_agent.state import Identity, Product, State, StateStore


def request_renewal(
    *,
    store: StateStore,
    state: State,
    exchange: Exchange,
    product: Product,
    root: x509.Certificate,
    signer: rsa.RSAPublicKey,
    clock: Callable[[], datetime],
    make_key: Callable[[], rsa.RSAPrivateKey],
) -> Identity:
    """Ask for a new identity and keep it beside the old one; durable when this returns.

    A renewal whose answer was lost is asked for again with the same key, byte for byte.
    """
    identity = state.identity
    if identity is None:
        raise UsageError("This product is not registered.")
    if not state.renewal_key:
        state.renewal_key = store.add_key(make_key())
        store.write(state)
    attempt = Registration(root=root, product=product, key=store.load_key(state.renewal_key), clock=clock)
    response = exchange.ask(attempt.renewal_question(identity=identity), signer=signer, find_signer=attempt.find_signer)
    renewed = attempt.identity(response, key_name=state.renewal_key)
    state.renewal = msgspec.structs.replace(renewed, piid=identity.piid, is_renewal=True)
    state.renewal_key = ""
    drop_pending(state, RequestType.RENEWAL)
    drop_pending(state, RequestType.ACK)
    store.write(state)
    return state.renewal


def adopt_renewal(state: State) -> None:
    """The new identity is the product's, the old one is forgotten."""
    if state.renewal is not None:
        state.identity = msgspec.structs.replace(state.renewal, acknowledged=True)
        state.renewal, state.renewal_key = None, ""
        drop_pending(state, RequestType.RENEWAL)


def acknowledgement(identity: Identity) -> dict[str, str]:
    """The `data` of an ACK."""
    what = RequestType.RENEWAL if identity.is_renewal else RequestType.REGISTRATION
    return {"acknowledges": what.value, "id_cert_serial_number": identity.id_cert_serial}
