"""One question to the server: remembered before it is sent, sent again as it was if no answer came, believed if signed.

A product's timestamps only grow: max(now, last + 1). A signed REPLAYED or CLOCK_SKEW tells from where to go on, once.
"""

import hashlib
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec
from cryptography.hazmat.primitives.asymmetric import rsa

from agents.smart_agent.errors import Refused, VerificationFailed
from agents.smart_agent.messages import (
    RequestType,
    Response,
    Sudi,
    build_request,
    check_echo,
    make_nonce,
    open_response,
    parse_response,
    raise_unless_ok,
    verify_response,
)
from agents.smart_agent.state import Pending, State, StateStore
from agents.smart_agent.transport import Transport

HOUR_MS: Final = 60 * 60 * 1000
RESEND_MS: Final = {RequestType.AUTHORIZATION: HOUR_MS, RequestType.REGISTRATION: 30 * 24 * HOUR_MS}
"""Older ones are made anew rather than sent again: the server's stored answer would tell of old times."""
ADVICE: Final = frozenset({"REPLAYED", "CLOCK_SKEW"})
MAX_TIMESTAMP: Final = 2**53

FindSigner = Callable[[Response], rsa.RSAPublicKey]
"""The key that must have signed this answer; raises VerificationFailed. Called only for an answer of status OK."""


class ClockAdvice(msgspec.Struct, frozen=True):
    server_time: int
    last_timestamp: int | None = None


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked; `same_as` tells whether an unanswered message asks the same. `key` is a name in the store."""

    request_type: RequestType
    sudi: Sudi
    data: Mapping[str, Any]
    key: str
    same_as: list[Any]
    piid: str | None = None
    id_cert_serial: str | None = None
    three_tier: bool = False


class Exchange:
    """Puts questions through a transport, with the state that survives a crash. `clock` gives Unix ms."""

    def __init__(self, store: StateStore, state: State, transport: Transport, clock: Callable[[], int]) -> None:
        self._store = store
        self._state = state
        self._transport = transport
        self._clock = clock

    def ask(
        self, question: Question, *, signer: rsa.RSAPublicKey | None = None, find_signer: FindSigner | None = None
    ) -> Response:
        """The verified answer, of status OK. The caller must drop `pending` in the same write as the answer's effect.

        A registered product knows the `signer`. For a registration or renewal `find_signer` takes the key from the
        answer's own certificates; what refuses a registration cannot be proven. Raises Refused, VerificationFailed,
        NetworkFailure.
        """
        pending = find_pending(self._state, question.request_type, question.same_as, self._clock())
        try:
            return self._send(question, pending or self._prepare(question), signer, find_signer)
        except Refused as refusal:
            timestamp = self._take_advice(refusal, provable=signer is not None)
            if timestamp is None:
                raise
        return self._send(question, self._prepare(question, timestamp), signer, find_signer)

    def _prepare(self, question: Question, timestamp: int = 0) -> Pending:
        state, nonce, now = self._state, make_nonce(), self._clock()
        if not timestamp:
            timestamp = state.last_timestamp = max(now + state.clock_offset, state.last_timestamp + 1)
        body = build_request(
            key=self._store.load_key(question.key),
            request_type=question.request_type,
            sudi=question.sudi,
            data=question.data,
            timestamp=timestamp,
            nonce=nonce,
            piid=question.piid,
            id_cert_serial=question.id_cert_serial,
            three_tier=question.three_tier,
        )
        pending = Pending(
            request_type=question.request_type,
            question=digest_question(question.same_as),
            body=body.decode(),
            nonce=nonce,
            key=question.key,
            created_at=now,
        )
        state.pending = state.pending | {question.request_type: pending}
        self._store.write(state)
        return pending

    def _send(
        self, question: Question, pending: Pending, signer: rsa.RSAPublicKey | None, find_signer: FindSigner | None
    ) -> Response:
        envelope = open_response(self._transport.send(pending.body.encode()))
        if find_signer is not None and parse_response(envelope.response).status_code == "OK":
            signer = None  # what hands out certificates is signed with the key that they prove
        if signer is not None and envelope.signature is not None:
            verify_response(envelope, signer)
        response = parse_response(envelope.response)
        signed = signer is not None and envelope.signature is not None
        if signed:
            self._check_echo(response, question, pending)
        raise_unless_ok(response, signed=signed)
        if not signed:
            if find_signer is None:
                raise VerificationFailed("The answer is not signed.")
            verify_response(envelope, find_signer(response))
            self._check_echo(response, question, pending)
        return response

    def _check_echo(self, response: Response, question: Question, pending: Pending) -> None:
        check_echo(
            response,
            request_type=question.request_type,
            nonce=pending.nonce,
            sudi=question.sudi,
            piid=question.piid,
        )

    def _take_advice(self, refusal: Refused, *, provable: bool) -> int | None:
        """The timestamp to go on from: 0 = as the state now says, None = no advice.

        What a registered product is told unsigned it ignores. A product that registers has nobody to trust yet: it uses
        the advice for its next message only, and learns nothing from it.
        """
        if refusal.code not in ADVICE or refusal.signed != provable:
            return None
        try:
            advice = msgspec.convert(dict(refusal.data), ClockAdvice)
        except msgspec.ValidationError:
            return None
        last = advice.last_timestamp or 0
        if not (0 < advice.server_time < MAX_TIMESTAMP and 0 <= last < MAX_TIMESTAMP):
            return None
        if not provable:
            now = advice.server_time if refusal.code == "CLOCK_SKEW" else self._clock()
            return max(now, last + 1)
        if refusal.code == "CLOCK_SKEW":
            self._state.clock_offset = advice.server_time - self._clock()
            self._state.last_timestamp = last
        else:
            self._state.last_timestamp = max(self._state.last_timestamp, last)
        return 0


def digest_question(same_as: list[Any]) -> str:
    return hashlib.sha256(msgspec.json.encode(same_as)).hexdigest()


def find_pending(state: State, request_type: RequestType, same_as: list[Any], now: int) -> Pending | None:
    """The unanswered message that asks the same, if it is to be sent again as it is."""
    pending = state.pending.get(request_type)
    if pending is None or pending.question != digest_question(same_as):
        return None
    limit = RESEND_MS.get(request_type)
    return pending if limit is None or abs(now - pending.created_at) <= limit else None


def drop_pending(state: State, request_type: RequestType) -> None:
    state.pending = {kind: one for kind, one in state.pending.items() if kind != request_type}
