"""A product for the tests: it signs what it is told to, right or wrong, and posts it over HTTP."""

import base64
import copy
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from licensing.services.exchange.dispatch import answer_message
from tests.keys import load_keys

SOFTWARE_TAG = "regid.2017-05.com.cisco.C9300,v1_727af1d9-6c39-4444-b301-863f81445b72"
HEADER: dict[str, Any] = {
    "version": "1.3",
    "locale": "en_US.UTF-8",
    "product_instance_identifier": None,
    "id_cert_serial_number": None,
    "connect_info": {
        "name": "C_agent",
        "version": "5.8.6",
        "production": True,
        "capabilities": ["UTILITY", "DLC", "AppHA", "MULTITIER", "EXPORT_2", "OK_TRY_AGAIN"],
    },
}


@dataclass
class Reply:
    """An answer, opened. `is_signed` says whether there is a signature, `is_by` whether it is by that certificate."""

    body: bytes

    @property
    def text(self) -> str:
        return str(json.loads(self.body)["response"])

    @property
    def content(self) -> dict[str, Any]:
        content: dict[str, Any] = json.loads(self.text)
        return content

    @property
    def header(self) -> dict[str, Any]:
        return dict(self.content["header"])

    @property
    def data(self) -> dict[str, Any]:
        return dict(self.content["data"])

    @property
    def code(self) -> str | None:
        code = self.content["error_code"]
        assert (self.content["status_code"] in ("OK", "OK_POLL")) == (code is None)
        return None if code is None else str(code)

    @property
    def is_signed(self) -> bool:
        return json.loads(self.body)["signature"] is not None

    def is_by(self, certificate: x509.Certificate) -> bool:
        signature = json.loads(self.body)["signature"]
        key = certificate.public_key()
        assert isinstance(key, rsa.RSAPublicKey)
        assert signature["type"] == "SHA256"
        try:
            key.verify(base64.b64decode(signature["value"]), self.text.encode(), padding.PKCS1v15(), hashes.SHA256())
        except InvalidSignature:
            return False
        return True


def make_csr(key: rsa.RSAPrivateKey, common_name: str, *, extensions: tuple[x509.ExtensionType, ...] = ()) -> str:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    builder = x509.CertificateSigningRequestBuilder().subject_name(name)
    for extension in extensions:
        builder = builder.add_extension(extension, critical=True)
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM).decode()


def sign_text(text: str, key: rsa.RSAPrivateKey) -> bytes:
    value = base64.b64encode(key.sign(text.encode(), padding.PKCS1v15(), hashes.SHA256())).decode()
    return json.dumps({"request": text, "signature": {"type": "SHA256", "value": value}}).encode()


@dataclass
class Device:
    """`number` picks its key, of twelve, and its serial number. `now` is its clock, and the server's."""

    now: datetime
    number: int = 0
    sudi: dict[str, Any] = field(default_factory=dict)
    key: rsa.RSAPrivateKey | None = None
    piid: str | None = None
    id_cert_serial: str | None = None
    signing_cert: x509.Certificate | None = None
    id_cert: x509.Certificate | None = None
    last: int = 0

    def __post_init__(self) -> None:
        self.key = self.key or load_keys()[self.number]
        self.sudi = self.sudi or {"udi_pid": "C9300-24UX", "udi_serial_number": f"FCW2134L{self.number:03}"}

    @property
    def udi(self) -> str:
        if self.sudi.get("udi_serial_number"):
            return f"{self.sudi['udi_pid']}:{self.sudi['udi_serial_number']}"
        return str(self.sudi["uuid"])

    def text(self, request_type: str, data: Mapping[str, Any], **header: Any) -> str:
        """The text of a request; `header` overrides its members, and `...` leaves one out."""
        self.last = max(int(self.now.timestamp() * 1000), self.last + 1)
        members = {
            **copy.deepcopy(HEADER),
            "request_type": request_type,
            "timestamp": self.last,
            "nonce": f"nonce-{self.number}-{self.last}",
            "sudi": self.sudi,
            "product_instance_identifier": self.piid,
            "id_cert_serial_number": self.id_cert_serial,
            **header,
        }
        return json.dumps({"header": {k: v for k, v in members.items() if v is not ...}, "data": data})

    def request(self, request_type: str, data: Mapping[str, Any], **header: Any) -> bytes:
        assert self.key is not None
        return sign_text(self.text(request_type, data, **header), self.key)

    def send(self, body: bytes) -> Reply:
        return Reply(answer_message(body=body, source_ip="192.0.2.1", now=self.now))

    def ask(self, request_type: str, data: Mapping[str, Any], **header: Any) -> Reply:
        return self.send(self.request(request_type, data, **header))

    def registration(self, token: str, **data: Any) -> dict[str, Any]:
        assert self.key is not None
        csr = data.pop("csr", None) or make_csr(self.key, self.udi[:64])
        members = {"id_token": token, "csr": csr, "software_tag_identifier": SOFTWARE_TAG, **data}
        return {k: v for k, v in members.items() if v is not ...}

    def register(self, token: str, **data: Any) -> Reply:
        reply = self.ask("REGISTRATION", self.registration(token, **data))
        if reply.code is None:
            self.learn(reply)
        return reply

    def learn(self, reply: Reply) -> None:
        self.piid = reply.header["product_instance_identifier"]
        self.id_cert = x509.load_pem_x509_certificate(reply.data["id_cert"].encode())
        self.signing_cert = x509.load_pem_x509_certificate(reply.data["signing_cert"].encode())
        self.id_cert_serial = f"{self.id_cert.serial_number:x}"

    def ack(self, acknowledges: str = "REGISTRATION", **header: Any) -> Reply:
        data = {"acknowledges": acknowledges, "id_cert_serial_number": self.id_cert_serial}
        return self.ask("ACK", data, **header)

    def renewal(self, key: rsa.RSAPrivateKey, **data: Any) -> dict[str, Any]:
        csr = data.pop("csr", None) or make_csr(key, self.udi[:64])
        return {"csr": csr, "software_tag_identifier": SOFTWARE_TAG, **data}

    def renew(self, number: int, **data: Any) -> tuple[Reply, "Device"]:
        """Ask for certificates for key `number`; also returns the same product with what it was given."""
        key = load_keys()[number]
        reply = self.ask("RENEWAL", self.renewal(key, **data))
        renewed = copy.copy(self)
        renewed.key = key
        if reply.code is None:
            renewed.learn(reply)
        return reply, renewed

    def authorize(self, use: Mapping[str, int], **data: Any) -> Reply:
        entitlements = [{"tag": tag, "count": count} for tag, count in use.items()]
        return self.ask("AUTHORIZATION", {"entitlements": entitlements, **data})

    def deregister(self) -> Reply:
        return self.ask("DEREGISTRATION", {})

    def wait(self, **duration: float) -> None:
        self.now += timedelta(**duration)
