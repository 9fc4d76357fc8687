"""Files as an on-prem server writes them, by a builder that knows nothing of the product's own codecs."""

import base64
import gzip
from dataclasses import dataclass, field
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa, utils
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from tests.keys import load_keys

PADDING = padding.PKCS1v15()
SHA256 = utils.Prehashed(hashes.SHA256())
UUID = "0f2e4c1a-6b7d-4e8f-9a0b-1c2d3e4f5a6b"


def make_csr(key: rsa.RSAPrivateKey, name: str, *, names: tuple[str, ...] = (), extensions: Any = ()) -> str:
    builder = x509.CertificateSigningRequestBuilder().subject_name(
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(n) for n in names]), critical=False)
    for extension in extensions:
        builder = builder.add_extension(extension, critical=False)
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM).decode()


def block(name: str, text: str) -> str:
    return f":{name}: |\n" + "".join(f"  {line}\n" for line in text.strip().splitlines())


def sign(content: str | bytes, key: rsa.RSAPrivateKey, cert: str = "") -> bytes:
    body = content.encode() if isinstance(content, str) else content
    signature = base64.b64encode(key.sign(body, padding.PKCS1v15(), hashes.SHA256())).decode()
    certificate = base64.b64encode(cert.encode()).decode()
    return body + f'---\n:signing_cert: "{certificate}"\n:signature: "{signature}"\n'.encode()


def use(tag: str, quantity: int, id: int = 1) -> str:
    return f'    - :id: {id}\n      :tag: "{tag}"\n      :consumed_quantity: {quantity}\n'


def instance(id: str | int, *, uses: dict[str, int] | None = None, active: bool = True, **fields: str) -> str:
    values = {
        "software_tag_identifier": "regid.2026-01.example,1.0_x",
        "udi_pid": "C9300-24UX",
        "udi_serial_number": f"FCW{id}",
        **fields,
    }
    text = f"  - :id: {id}\n    :is_active: {'true' if active else 'false'}\n"
    text += "".join(f'    :{name}: "{value}"\n' for name, value in values.items())
    rows = "".join(use(tag, quantity, number) for number, (tag, quantity) in enumerate((uses or {}).items(), 1))
    return text + (f"    :license:\n{rows}" if rows else "    :license: []\n")


def account(id: str | int, name: str, *instances: str) -> str:
    rows = "".join(instances)
    head = f'- :id: {id}\n  :name: "{name}"\n'
    return head + (f"  :product_instances:\n{rows}" if rows else "  :product_instances: []\n")


@dataclass
class Server:
    """One on-prem server with its keys and what it was given."""

    uuid: str = UUID
    name: str = "Plant 7"
    key: rsa.RSAPrivateKey = field(default_factory=lambda: load_keys()[8])
    tg_key: rsa.RSAPrivateKey = field(default_factory=lambda: load_keys()[9])
    ssms_key: rsa.RSAPrivateKey = field(default_factory=lambda: load_keys()[10])
    host: str = "plant7.acme.example"
    id_cert: str = ""
    signing_cert: str = ""
    last_sync: str | None = None

    def registration_content(self, **changes: str) -> str:
        values = {
            "lcs_csr": make_csr(self.key, self.uuid),
            "tg_csr": make_csr(self.tg_key, self.host),
            "ssms_csr": make_csr(self.ssms_key, self.host, names=(self.host, f"ui.{self.host}")),
        } | changes
        head = (
            ":format: cssm-onprem/1\n:type: registration_request\n"
            f':satellite_name: "{self.name}"\n:instance_id: "{self.uuid}"\n'
            ':exported_timestamp: "2026-03-02T09:00:00.000Z"\n'
        )
        return head + "".join(block(name, pem) for name, pem in values.items())

    def registration(self, **changes: str) -> bytes:
        return sign(self.registration_content(**changes), self.key)

    def install(self, response: dict[str, Any]) -> None:
        self.id_cert, self.signing_cert = response[":id_cert"], response[":signing_cert"]
        self.last_sync = response[":last-sync"]

    def synchronization_content(
        self,
        *accounts: str,
        generated: str = "2026-03-02T10:00:00.000Z",
        full: bool = False,
        more: str = "",
        **changes: Any,
    ) -> str:
        last_sync = None if full else self.last_sync
        values = {
            "sync_version": '"1"',
            "ssms_version": '"9-202611"',
            "collector_id": f'"{self.uuid}"',
            "last-sync": "null" if last_sync is None else f'"{last_sync}"',
            "last_generated": f'"{generated}"',
        } | changes
        text = ":format: cssm-onprem/1\n:type: synchronization_request\n"
        text += "".join(f":{name}: {value}\n" for name, value in values.items() if value is not None)
        text += block("id_cert", self.id_cert) + block("signing_cert", self.signing_cert)
        return text + more + (":virtual_accounts:\n" + "".join(accounts) if accounts else ":virtual_accounts: []\n")

    def synchronization(self, *accounts: str, **options: Any) -> bytes:
        return sign(self.synchronization_content(*accounts, **options), self.key, self.id_cert)


def pack(data: bytes) -> bytes:
    return gzip.compress(data, mtime=0)
