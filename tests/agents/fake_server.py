"""A license service in memory, a Transport for the agent: right by default, every answer can be made wrong."""

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import uuid4

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from agents.smart_agent.errors import NetworkFailure
from tests.agents.certificates import ID_PURPOSE, dump, issue, key, make_authority

DAY_MS = 24 * 60 * 60 * 1000
Json = dict[str, Any]


class Crash(BaseException):
    """The power went off."""


@dataclass
class Instance:
    piid: str
    key: rsa.RSAPublicKey
    last_timestamp: int = 0
    last_body: bytes = b""
    last_answer: bytes = b""
    state: str = "registering"


@dataclass
class FakeServer:
    """`alter_data(request, data)`, `alter_text(text)` and `alter_envelope(envelope)` spoil answers on their way out.

    `lose` is taken from the front for each message: None = arrives, "request" or "answer" = lost, "crash before" and
    "crash after" = the product dies. `refuse` answers every message with this code, `refuse_signed` tells how.
    """

    clock: Callable[[], datetime]
    received: list[bytes] = field(default_factory=list)
    instances: dict[str, Instance] = field(default_factory=dict)
    stock: dict[str, int] = field(default_factory=dict)
    lose: list[str | None] = field(default_factory=list)
    refuse: str | None = None
    refuse_signed: bool = True
    refuse_data: Json = field(default_factory=dict)
    alter_data: Callable[[Json, Json], Json] | None = None
    alter_text: Callable[[Json], None] | None = None
    alter_envelope: Callable[[Json], None] | None = None

    def __post_init__(self) -> None:
        self.root = make_authority("Test Root", key(1))
        self.sub_ca = make_authority("Test Sub CA", key(2), self.root, path_length=0)
        self.signing_key = key(3)

    def send(self, body: bytes) -> bytes:
        fate = self.lose.pop(0) if self.lose else None
        if fate == "crash before":
            raise Crash
        if fate == "request":
            raise NetworkFailure("lost on the way")
        self.received.append(body)
        answer = self._answer(body)
        if fate == "crash after":
            raise Crash
        if fate == "answer":
            raise NetworkFailure("lost on the way back")
        return answer

    @property
    def texts(self) -> list[Json]:
        """The texts of all messages received."""
        return [json.loads(json.loads(body)["request"]) for body in self.received]

    def certificates(self, request: Json) -> Json:
        """What a registration answers, for the CSR in it."""
        csr = x509.load_pem_x509_csr(request["data"]["csr"].encode())
        sudi = request["header"]["sudi"]
        udi = f"{sudi['udi_pid']}:{sudi['udi_serial_number']}"
        public_key = csr.public_key()
        assert isinstance(public_key, rsa.RSAPublicKey)
        id_cert = issue(udi[:64], public_key, self.sub_ca, purposes=ID_PURPOSE, identifier=udi)
        signing_cert = issue("Test Signing", self.signing_key.public_key(), self.sub_ca)
        return {
            "sub_ca_cert": self.sub_ca.pem,
            "signing_cert": dump(signing_cert),
            "id_cert": dump(id_cert),
            "chain": [],
            "smart_account": "acme.example",
            "virtual_account": "Engineering",
            "renew_after_seconds": 15552000,
        }

    def _answer(self, body: bytes) -> bytes:
        envelope = json.loads(body)
        text = envelope["request"]
        request = json.loads(text)
        header = request["header"]
        instance = self._find_instance(request)
        signature = base64.b64decode(envelope["signature"]["value"])
        instance.key.verify(signature, text.encode(), padding.PKCS1v15(), hashes.SHA256())
        if self.refuse:
            return self._pack(request, None, {}, self.refuse, self.refuse_data, signed=self.refuse_signed)
        if body == instance.last_body:
            return instance.last_answer
        now = int(self.clock().timestamp() * 1000)
        advice = {"server_time": now, "last_timestamp": instance.last_timestamp or None}
        known = instance.piid in self.instances
        if abs(header["timestamp"] - now) > DAY_MS:
            return self._pack(request, None, {}, "CLOCK_SKEW", advice, signed=known)
        if header["timestamp"] <= instance.last_timestamp:
            return self._pack(request, None, {}, "REPLAYED", advice, signed=known)
        data = getattr(self, f"_do_{header['request_type'].lower()}")(request, instance)
        self.instances[instance.piid] = instance
        instance.last_timestamp, instance.last_body = header["timestamp"], body
        instance.last_answer = self._pack(request, instance.piid, data, None, {})
        return instance.last_answer

    def _find_instance(self, request: Json) -> Instance:
        if request["header"]["request_type"] != "REGISTRATION":
            return self.instances[request["header"]["product_instance_identifier"]]
        public_key = x509.load_pem_x509_csr(request["data"]["csr"].encode()).public_key()
        assert isinstance(public_key, rsa.RSAPublicKey)
        known = [one for one in self.instances.values() if one.key == public_key]
        return known[0] if known else Instance(str(uuid4()), public_key)

    def _do_registration(self, request: Json, instance: Instance) -> Json:
        return self.certificates(request)

    def _do_ack(self, request: Json, instance: Instance) -> Json:
        instance.state = "registered"
        return {}

    def _do_deregistration(self, request: Json, instance: Instance) -> Json:
        instance.state = "deregistered"
        return {}

    def _do_authorization(self, request: Json, instance: Instance) -> Json:
        used = request["data"]["entitlements"]
        verdicts = [
            one | {"status": "AUTHORIZED" if one["count"] <= self.stock.get(one["tag"], 0) else "OUT_OF_COMPLIANCE"}
            for one in used
        ]
        short = any(one["status"] == "OUT_OF_COMPLIANCE" for one in verdicts)
        return {
            "compliance_status": "Out Of Compliance" if short else "In Compliance",
            "entitlements": verdicts,
            "next_request_seconds": 2592000,
            "authorization_expires_seconds": 7776000,
        }

    def _pack(
        self, request: Json, piid: str | None, data: Json, error: str | None, details: Json, *, signed: bool = True
    ) -> bytes:
        header = request["header"]
        if self.alter_data and not error:
            data = self.alter_data(request, data)
        echoed = {name: header[name] for name in ("version", "request_type", "nonce", "sudi")}
        text: Json = {
            "header": echoed
            | {
                "timestamp": int(self.clock().timestamp() * 1000),
                "product_instance_identifier": piid or header["product_instance_identifier"],
            },
            "status_code": "FAILED" if error else "OK",
            "error_code": error,
            "status_message": f"because of {error}" if error else "",
            "retry_time_seconds": 0,
            "data": details if error else data,
        }
        if self.alter_text:
            self.alter_text(text)
        carried = json.dumps(text)
        signature = self.signing_key.sign(carried.encode(), padding.PKCS1v15(), hashes.SHA256())
        sealed = {"type": "SHA256", "value": base64.b64encode(signature).decode()}
        envelope: Json = {"response": carried, "signature": sealed if signed else None}
        if self.alter_envelope:
            self.alter_envelope(envelope)
        return json.dumps(envelope).encode()
