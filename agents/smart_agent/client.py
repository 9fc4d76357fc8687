"""The Smart Agent: registers a product, acknowledges, reports its use, deregisters, and knows its own state."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Literal

import msgspec
from cryptography.hazmat.primitives.asymmetric import rsa

from agents.common.keys import generate_key
from agents.smart_agent import status, usage_reports
from agents.smart_agent.certificates import verify_certificates
from agents.smart_agent.errors import AgentError, Refused, StateDamaged, UsageError, VerificationFailed
from agents.smart_agent.exchange import Exchange, Question, drop_pending, find_pending
from agents.smart_agent.messages import RequestType, Response, authorization_data
from agents.smart_agent.registration import Registration, describe_host, load_root
from agents.smart_agent.renewal import acknowledgement, adopt_renewal, request_renewal
from agents.smart_agent.reservations import Reservations
from agents.smart_agent.state import Authorization, Conversion, Entitlement, Identity, Plan, Product, State, StateStore
from agents.smart_agent.transport import Fetching, Transport, open_transport, place_url

MAX_COUNT: Final = 10**9
TEMPORARY_REFUSALS: Final = frozenset({"INTERNAL", "RATE_LIMITED", "OK_TRY_AGAIN"})
"""Also every `HTTP_…`: after these a registration is sent again as it was."""

GIVEN_UP: Final = frozenset({"NOT_REGISTERED", "SIGNATURE_INVALID", "CERTIFICATE_EXPIRED"})
"""What the server says of a new identity that it does not know any more; the old one may still be good."""
OUTLIVING: Final = frozenset({RequestType.REGISTRATION, RequestType.RENEWAL})


class AuthorizationAnswer(msgspec.Struct, frozen=True, kw_only=True):
    compliance_status: Literal["In Compliance", "Out Of Compliance"]
    entitlements: list[Entitlement]
    next_request_seconds: int = 2_592_000
    authorization_expires_seconds: int = 7_776_000


class SmartAgent:
    """One product, its memory in `store`. `clock` gives an aware datetime, `connect` a transport for a URL.

    Every method may raise an AgentError; none leaves the memory in a state that a later call cannot go on from.
    """

    def __init__(
        self,
        store: StateStore,
        *,
        connect: Callable[[str], Transport] = open_transport,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._store = store
        self._connect = connect
        self._clock = clock

    def status(self) -> dict[str, Any]:
        """See `status.describe`; reads only."""
        state, now = self._store.read(), self._now()
        status.settle(state, now)
        return status.describe(state, now)

    @property
    def folder(self) -> Path:
        """Where the product's memory is."""
        return self._store.folder

    def use_clock(self, clock: Callable[[], datetime]) -> None:
        """From now on live by another clock."""
        self._clock = clock

    def now(self) -> int:
        """The agent's clock, Unix ms."""
        return self._now()

    def time(self) -> datetime:
        """The agent's clock."""
        return self._clock()

    def peek(self) -> State:
        """What is remembered, brought up to this moment; reads only."""
        state = self._store.read()
        self.settle(state)
        return state

    def settle(self, state: State) -> None:
        """Bring what `peek` gave up to this moment."""
        status.settle(state, self._now())

    def remember(self, plan: Plan) -> None:
        """Keep what is planned for the next start."""
        with self._store.locked() as state:
            state.plan = plan
            self._store.write(state)

    def give_up_polling(self, message: str) -> None:
        """The server knows nothing of what is pending."""
        with self._store.locked() as state:
            state.conversion = Conversion(status="UNKNOWN", message=message)
            self._store.write(state)

    def register(self, *, url: str, root: str, product: Product, token: str, force: bool = False) -> dict[str, Any]:
        """Get an identity with an ID token; `root` is the trusted certificate as PEM. Returns the status.

        A registration whose answer was lost or not understood is sent again as it was; the token is forgotten with the
        answer. `force` allows it while registered: the old identity stays until the new one is proven.
        """
        trusted = load_root(root, at=self._clock())
        transport = self._connect(url)
        with self._store.locked() as state:
            status.settle(state, self._now())
            _check_may_register(state, product, force=force)
            same_as: list[Any] = [url, product, token]
            pending = find_pending(state, RequestType.REGISTRATION, same_as, self._now())
            key_name = pending.key if pending else self._store.add_key(generate_key())
            registration = Registration(
                root=trusted, product=product, key=self._store.load_key(key_name), clock=self._clock
            )
            question = registration.question(token=token, key_name=key_name, same_as=same_as)
            exchange = Exchange(self._store, state, transport, self._now)
            try:
                response = exchange.ask(question, find_signer=registration.find_signer)
            except Refused as refusal:
                if refusal.code not in TEMPORARY_REFUSALS and not refusal.code.startswith("HTTP_"):
                    # Neither token nor key is of more use, and the token is a secret: the next try makes a new message.
                    drop_pending(state, RequestType.REGISTRATION)
                    self._store.write(state)
                raise
            state.identity = registration.identity(response, key_name=key_name)
            state.authorization = None
            state.use = [msgspec.structs.replace(one, status=None) for one in state.use]
            state.url, state.root, state.product = url, root, product
            state.was_registered = True
            state.pending, state.renewal, state.renewal_key = {}, None, ""
            status.drop_promises(state)
            return self._keep(state)

    @property
    def reservations(self) -> Reservations:
        """What this product does without a connection."""
        return Reservations(self._store, self._clock)

    def use_transport(self, kind: str) -> None:
        """From now on speak by this way: `smart` or `callhome`. Before a registration it has no effect."""
        with self._store.locked() as state:
            if state.url:
                state.url = place_url(state.url, kind)
                self._store.write(state)

    def acknowledge(self) -> dict[str, Any]:
        """Tell the server that the certificates have arrived. Returns the status."""
        with self._store.locked() as state:
            identity = self._require_identity(state)
            if state.renewal is not None:
                self._acknowledge_renewal(state, state.renewal)
            else:
                self._ask(state, identity, RequestType.ACK, acknowledgement(identity))
            return self._keep(state)

    def renew(self) -> dict[str, Any]:
        """Get new certificates for a new key, and acknowledge them. Returns the status.

        Goes on where an earlier one was interrupted. A new identity that the server has given up is asked for anew.
        """
        with self._store.locked() as state:
            identity = self._require_identity(state)
            if state.renewal is not None:
                try:
                    self._acknowledge_renewal(state, state.renewal)
                    return self._keep(state)
                except Refused as refusal:
                    if refusal.code not in GIVEN_UP:
                        raise
            renewal = request_renewal(
                store=self._store,
                state=state,
                exchange=Exchange(self._store, state, self._connect(state.url), self._now),
                product=_require_product(state),
                root=load_root(state.root, at=self._clock()),
                signer=self._prove(state, identity),
                clock=self._clock,
                make_key=generate_key,
            )
            self._acknowledge_renewal(state, renewal)
            return self._keep(state)

    def authorize(self, use: Mapping[str, int] | None = None) -> dict[str, Any]:
        """Report the whole current use (`{tag: count}`), or the same as last time. Returns the status.

        A product that is not registered only notes what it consumes: then its evaluation period runs.
        """
        check_use(use)
        with self._store.locked() as state:
            status.settle(state, self._now())
            if use is not None:
                state.rum = usage_reports.close_measurement(state, use, self._store.load_key, self._now())
                known = {one.tag: one.status for one in state.use}
                state.use = [Entitlement(tag, count, known.get(tag)) for tag, count in use.items()]
            if state.identity is None:
                return self._keep(state)
            identity = self._finish_renewal(state)
            reported = {one.tag: one.count for one in state.use}
            data = authorization_data(reported, **describe_host(_require_product(state)))
            response = self._ask(state, identity, RequestType.AUTHORIZATION, data)
            _note_answer(state, response, self._now())
            return self._keep(state)

    def tell(
        self, request_type: RequestType, data: dict[str, Any], note: Callable[[State, Response], None]
    ) -> dict[str, Any]:
        """Send one message of a registered product; `note` takes what the answer says. Returns the status."""
        with self._store.locked() as state:
            response = self._ask(state, self._finish_renewal(state), request_type, data)
            note(state, response)
            return self._keep(state)

    def deregister(self, *, force: bool = False) -> dict[str, Any]:
        """Give the identity back. Returns the status. `force` drops it here even if the server does not confirm."""
        with self._store.locked() as state:
            try:
                identity = self._finish_renewal(state)
                self._ask(state, identity, RequestType.DEREGISTRATION, {})
            except AgentError:
                if not force or state.identity is None:
                    raise
            status.forget_identity(state)
            return self._keep(state)

    def ask(
        self, request_type: RequestType, data: dict[str, Any], note: Callable[[State, Response], None]
    ) -> dict[str, Any]:
        """Ask as a registered product; `note` puts the answer into the memory, or raises. Returns the status."""
        with self._store.locked() as state:
            identity = self._finish_renewal(state)
            note(state, self._ask(state, identity, request_type, data))
            return self._keep(state)

    def change(self, note: Callable[[State], None], *, registered: bool = True) -> dict[str, Any]:
        """Change the memory without asking anyone, of a registered product or of any. Returns the status."""
        with self._store.locked() as state:
            if registered:
                self._require_identity(state)
            status.settle(state, self._now())
            note(state)
            return self._keep(state)

    def load_key(self, name: str) -> rsa.RSAPrivateKey:
        """A private key that the state names. Raises StateDamaged."""
        return self._store.load_key(name)

    def fetch(self, path: str) -> bytes:
        """What the server shows to everybody; nothing of it is verified."""
        state = self.peek()
        self._require_identity(state)
        transport = self._connect(state.url)
        if not isinstance(transport, Fetching):
            raise UsageError("Nothing can be fetched from this server. Give it as a file.")
        return transport.fetch(path)

    def _ask(self, state: State, identity: Identity, request_type: RequestType, data: dict[str, Any]) -> Response:
        """Any answer of status OK shows that the server has seen the new key, and answers all that went before."""
        question = Question(
            request_type=request_type,
            sudi=_require_product(state).sudi,
            data=data,
            key=identity.key,
            same_as=[identity.piid, data],
            piid=identity.piid,
            id_cert_serial=identity.id_cert_serial,
            three_tier=_require_product(state).three_tier,
        )
        exchange = Exchange(self._store, state, self._connect(state.url), self._now)
        response = exchange.ask(question, signer=self._prove(state, identity))
        if identity is not state.renewal:
            state.identity = msgspec.structs.replace(identity, acknowledged=True)
        state.pending = {kind: one for kind, one in state.pending.items() if kind in OUTLIVING}
        return response

    def _acknowledge_renewal(self, state: State, renewal: Identity) -> None:
        """The new identity takes over once the server says that it has seen it."""
        self._ask(state, renewal, RequestType.ACK, acknowledgement(renewal))
        adopt_renewal(state)
        self._store.write(state)

    def _finish_renewal(self, state: State) -> Identity:
        """The identity to speak with: a new one that is only waiting for its acknowledgement comes first.

        Where the server refuses it, the old one is still good, and the next renewal starts anew.
        """
        identity = self._require_identity(state)
        if state.renewal is None:
            return identity
        try:
            self._acknowledge_renewal(state, state.renewal)
        except Refused:
            drop_pending(state, RequestType.ACK)
        return self._require_identity(state)

    def _require_identity(self, state: State) -> Identity:
        status.settle(state, self._now())
        if state.identity is None:
            raise UsageError("This product is not registered.")
        return state.identity

    def _prove(self, state: State, identity: Identity) -> rsa.RSAPublicKey:
        """Check what is stored as if it had just arrived (WP: "Verified when received and at boot time").

        A clock that went back to before the registration does not make the certificates wrong.
        """
        at = max(self._clock(), datetime.fromtimestamp(identity.registered_at / 1000, UTC))
        return verify_certificates(
            id_cert=identity.id_cert,
            signing_cert=identity.signing_cert,
            sub_ca_cert=identity.sub_ca_cert,
            chain=identity.chain,
            root=load_root(state.root, at=at),
            public_key=self._store.load_key(identity.key).public_key(),
            sudi=_require_product(state).sudi,
            at=at,
            three_tier=_require_product(state).three_tier,
        ).signing_key

    def _now(self) -> int:
        return int(self._clock().timestamp() * 1000)

    def _keep(self, state: State) -> dict[str, Any]:
        now = self._now()
        status.settle(state, now)
        self._store.write(state)
        return status.describe(state, now)


def _check_may_register(state: State, product: Product, *, force: bool) -> None:
    if state.reservation.authorization is not None:
        raise UsageError("A reservation is installed here. Return it first.")
    if state.identity is not None and not force:
        raise UsageError(f"Already registered as {state.identity.piid}; --force registers anew.")
    if state.product is not None and state.was_registered:
        known, asked = state.product.sudi, product.sudi
        if (known.udi_pid, known.udi_serial_number) != (asked.udi_pid, asked.udi_serial_number):
            raise UsageError(f"This state belongs to {known.udi_pid}:{known.udi_serial_number}.")


def check_use(use: Mapping[str, int] | None) -> None:
    """Raises UsageError."""
    if use is not None and not all(tag and 0 <= count <= MAX_COUNT for tag, count in use.items()):
        raise UsageError(f"A use is a tag with a count of 0 to {MAX_COUNT}.")


def _require_product(state: State) -> Product:
    if state.product is None:
        raise StateDamaged("The state has an identity and no product.")
    return state.product


def _note_answer(state: State, response: Response, now: int) -> None:
    try:
        answer = msgspec.convert(response.data, AuthorizationAnswer)
    except msgspec.ValidationError as error:
        raise VerificationFailed(f"The answer to the authorization request is incomplete: {error}.") from None
    verdicts = {entitlement.tag: entitlement.status for entitlement in answer.entitlements}
    state.use = [msgspec.structs.replace(one, status=verdicts.get(one.tag)) for one in state.use]
    state.authorization = Authorization(
        compliance_status=answer.compliance_status,
        answered_at=now,
        next_at=now + answer.next_request_seconds * 1000,
        expires_at=now + answer.authorization_expires_seconds * 1000,
    )
