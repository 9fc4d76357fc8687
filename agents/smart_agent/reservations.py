"""Reserving without a connection: what the product shows, what it installs, and what it remembers of both."""

import string
from collections.abc import Callable
from datetime import datetime
from typing import Any, Final

import msgspec
from cryptography.hazmat.primitives.asymmetric import ec

from agents.common.trust import load_certificate, verify_signer
from agents.smart_agent import reservation_codes as codes
from agents.smart_agent import status
from agents.smart_agent.errors import UsageError, VerificationFailed
from agents.smart_agent.registration import load_root
from agents.smart_agent.state import Product, State, StateStore

LETTERS: Final = string.ascii_uppercase


class Reservations:
    """The reservation of one product, its memory in `store`. Every method may raise an AgentError and then changed
    nothing; each returns the status with the code that is to be copied.
    """

    def __init__(self, store: StateStore, clock: Callable[[], datetime]) -> None:
        self._store = store
        self._clock = clock

    def request(self, *, product: Product | None, root: str, signer: str, universal: bool = False) -> dict[str, Any]:
        """Make a request code; until something is installed the same one again.

        `root` and `signer` are the certificates (PEM) that authorizations are verified with, as a product has them
        embedded; empty where they are known from an earlier request.
        """
        with self._store.locked() as state:
            status.settle(state, self._now())
            if state.identity is not None:
                raise UsageError("This product is registered. Deregister it first.")
            chosen = _choose_product(state, product)
            known = state.reservation
            if known.authorization is not None:
                raise UsageError("A reservation is installed. Return it first; changes need no new request.")
            kind = codes.UNIVERSAL if universal else codes.SPECIFIC
            trusted = root or known.root or state.root, signer or known.signer
            if not all(trusted):
                raise UsageError("Give --trust and --signer: what authorization codes are verified with.")
            _load_signer(*trusted, at=self._clock())
            is_same = known.request_code and known.kind == kind and chosen == state.product
            sequence = known.sequence if is_same else _next_letter(known.sequence)
            state.product = chosen
            state.reservation = msgspec.structs.replace(
                known,
                kind=kind,
                sequence=sequence,
                root=trusted[0],
                signer=trusted[1],
                request_code=codes.make_request_code(
                    kind=kind,
                    sequence=sequence,
                    pid=chosen.sudi.udi_pid,
                    serial=chosen.sudi.udi_serial_number,
                    software_tag=chosen.software_tag,
                ),
            )
            return self._keep(state, "request_code", state.reservation.request_code)

    def install(self, content: bytes) -> dict[str, Any]:
        """Install an authorization code, the first or a newer one, and make its confirmation code."""
        with self._store.locked() as state:
            status.settle(state, self._now())
            known, product = state.reservation, state.product
            if not known.request_code or product is None:
                raise UsageError("Nothing was requested. Make a request code first.")
            authorization = codes.read_authorization(
                content,
                kind=known.kind,
                udis=_own_udis(product),
                signer=_load_signer(known.root, known.signer, at=self._clock()),
            )
            if authorization.timestamp <= known.newest:
                raise VerificationFailed(
                    "This authorization is not newer than the last one that was installed or returned here."
                )
            if known.authorization is not None and authorization.piid != known.authorization.piid:
                raise VerificationFailed("This authorization is of another reservation. Return the present one first.")
            state.reservation = msgspec.structs.replace(
                known,
                authorization=authorization,
                newest=authorization.timestamp,
                installed_at=self._now(),
                confirmation_code=codes.make_confirmation_code(
                    udi=_udi_of(product), sequence=known.sequence, authorization=authorization
                ),
            )
            state.use = [msgspec.structs.replace(one, status=None) for one in state.use]
            return self._keep(state, "confirmation_code", state.reservation.confirmation_code)

    def give_back(self) -> dict[str, Any]:
        """Forget the authorization and make the return code; afterwards the last return code again."""
        with self._store.locked() as state:
            status.settle(state, self._now())
            known = state.reservation
            if known.authorization is not None:
                state.reservation = msgspec.structs.replace(
                    known,
                    authorization=None,
                    request_code="",
                    confirmation_code="",
                    return_code=codes.make_return_code(known.authorization),
                )
            elif not known.return_code or known.request_code:
                raise UsageError("There is no reservation to return.")
            return self._keep(state, "return_code", state.reservation.return_code)

    def _now(self) -> int:
        return int(self._clock().timestamp() * 1000)

    def _keep(self, state: State, name: str, code: str) -> dict[str, Any]:
        now = self._now()
        status.settle(state, now)
        self._store.write(state)
        return status.describe(state, now) | {name: code}


def _load_signer(root: str, signer: str, *, at: datetime) -> ec.EllipticCurvePublicKey:
    return verify_signer(load_certificate(signer, "reservation signing certificate"), load_root(root, at=at), at=at)


def _choose_product(state: State, product: Product | None) -> Product:
    if product is None:
        if state.product is None:
            raise UsageError("Give --pid and --sn: nothing is known of this product yet.")
        return state.product
    known = state.product
    has_past = state.was_registered or state.reservation.sequence
    if known is not None and has_past:
        same = (known.sudi.udi_pid, known.sudi.udi_serial_number)
        if same != (product.sudi.udi_pid, product.sudi.udi_serial_number):
            raise UsageError(f"This state belongs to {':'.join(same)}.")
    return product


def _udi_of(product: Product) -> str:
    return codes.udi_text(product.sudi.udi_pid, product.sudi.udi_serial_number)


def _own_udis(product: Product) -> list[str]:
    """A request code names no uuid, but who authorizes may know it."""
    sudi = product.sudi
    whole = codes.udi_text(sudi.udi_pid, sudi.udi_serial_number, sudi.uuid)
    return list(dict.fromkeys([_udi_of(product), whole]))


def _next_letter(letter: str) -> str:
    """The second letter of request codes: another one for each request, beginning anew after Z."""
    return LETTERS[(LETTERS.index(letter) + 1) % len(LETTERS)] if letter else LETTERS[0]
