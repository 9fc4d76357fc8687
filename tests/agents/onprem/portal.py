"""A portal in memory, with a hierarchy of its own: right by default, every file can be made wrong.

It reads what the on-prem server writes with a general YAML reader and writes its own files by hand, so that neither
side of the tests believes the other's code.
"""

import base64
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from textwrap import indent
from typing import Any

import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID

from tests.agents.certificates import ID_PURPOSE, Authority, build, dump, issue, key, make_authority

Json = dict[str, Any]


def read_file(content: bytes) -> tuple[Json, Json]:
    """Content and last lines of a file, as any YAML reader sees them (`:name` keys without their colon)."""
    first, second = yaml.safe_load_all(content)
    return _plain(first), _plain(second)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name.removeprefix(":"): _plain(item) for name, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list) else value


def seal(content: bytes, signer: rsa.RSAPrivateKey, certificate: str) -> bytes:
    signature = base64.b64encode(signer.sign(content, padding.PKCS1v15(), hashes.SHA256())).decode()
    packed = base64.b64encode(certificate.encode()).decode()
    return content + f'---\n:signing_cert: "{packed}"\n:signature: "{signature}"\n'.encode()


def cut(file: bytes) -> bytes:
    """What the signature covers."""
    return file[: file.rindex(b"---\n")]


@dataclass
class FakePortal:
    """`accounts` is what the synchronization part says, `alter(values)` spoils or adds top-level lines of a file."""

    clock: Callable[[], datetime]
    accounts: str = "[]"
    three_tier: bool = False
    alter: Callable[[dict[str, str]], None] | None = None
    signing_key: rsa.RSAPrivateKey = field(default_factory=lambda: key(5))
    requests: list[Json] = field(default_factory=list)
    serial: int = 1000

    def __post_init__(self) -> None:
        start = self._start()
        self.root = make_authority("Test Root", key(1), start=start)
        self.sub_ca = make_authority("Test Sub CA", key(2), self.root, path_length=0, start=start)
        self.satellite_ca = make_authority("Test On-Prem Sub CA", key(3), self.root, path_length=1, start=start)
        self.tg_issuer = make_authority("Test TG Issuer", key(4), self.root, path_length=0, start=start)

    def authorize(self, file: bytes, **changes: str) -> bytes:
        """The authorization file for a registration file."""
        request, _ = read_file(file)
        self.csrs = {name: request[f"{name}_csr"] for name in ("lcs", "tg", "ssms")}
        self.instance_id, self.satellite_name = request["instance_id"], request["satellite_name"]
        head = {
            "format": "cssm-onprem/1",
            "type": "authorization_response",
            "status": "SUCCESS",
            "uuid": self.instance_id,
            "smart_account": '"Acme"',
            "account_domain": '"acme.example"',
            "satellite_name": f'"{self.satellite_name}"',
            "last-sync": f'"{self.stamp()}"',
        }
        return self._write(head, changes)

    def respond(self, file: bytes, **changes: str) -> bytes:
        """The response to a synchronization request, which is noted in `requests`."""
        request, _ = read_file(file)
        self.requests.append(request)
        if request.get("tg_csr"):
            self.csrs |= {"tg": request["tg_csr"], "ssms": request["ssms_csr"]}
        head = {
            "format": "cssm-onprem/1",
            "type": "synchronization_response",
            "collector_instance_id": f'"{self.instance_id}"',
            "satellite_name": f'"{self.satellite_name}"',
            "last_generated": f'"{request["last_generated"]}"',
            "last-sync": f'"{self.stamp()}"',
        }
        return self._write(head, changes)

    def certificates(self) -> dict[str, str]:
        """PEM by the names of WP tables 2 and 5."""
        lcs = self._public("lcs")
        made = {
            "id_cert": self._issue(self.instance_id, lcs, self.sub_ca, purposes=ID_PURPOSE),
            "sub_ca_cert": self.sub_ca.pem,
            "signing_cert": self._issue(self.instance_id, self.signing_key.public_key(), self.sub_ca),
            "local_sub_ca_cert_1_1": self.local_authority(lcs, self.satellite_ca).pem,
            "tg_ssl_cert": self._issue_https("tg"),
            "tg_issuer_cert": self.tg_issuer.pem,
            "satellite_cert": self.satellite_ca.pem,
            "ssms_ssl_cert": self._issue_https("ssms"),
        }
        return made | ({"local_sub_ca_cert": self.local_authority(lcs, self.root).pem} if self.three_tier else {})

    def local_authority(self, public_key: rsa.RSAPublicKey, issuer: Authority) -> Authority:
        shape = {"authority": True, "path_length": 0, "days": 1825, "serial": self._next()}
        return Authority(issuer.key, issue("Local Sub CA", public_key, issuer, start=self._start(), **shape))

    def stamp(self) -> str:
        return self.clock().strftime("%Y-%m-%dT%H:%M:%SZ")

    def _write(self, head: dict[str, str], changes: dict[str, str]) -> bytes:
        pems = self.certificates()
        blocks = {name: "|\n" + indent(pem.rstrip("\n"), "  ") for name, pem in pems.items()}
        accounts = f" {self.accounts}" if self.accounts == "[]" else f"\n{indent(self.accounts, '  ').rstrip()}"
        values = head | blocks | {"synchronization": f"\n  :virtual_accounts:{accounts}"} | changes
        if self.alter:
            self.alter(values)
        lines = [f":{name}:{'' if value.startswith(chr(10)) else ' '}{value}\n" for name, value in values.items()]
        signing_cert = values["signing_cert"].removeprefix("|\n").replace("\n  ", "\n").strip() + "\n"
        return seal("".join(lines).encode(), self.signing_key, signing_cert)

    def _issue(self, name: str, public_key: rsa.RSAPublicKey, issuer: Authority, **shape: Any) -> str:
        return dump(issue(name, public_key, issuer, start=self._start(), serial=self._next(), **shape))

    def _issue_https(self, name: str) -> str:
        issuer, csr = self.tg_issuer, x509.load_pem_x509_csr(self.csrs[name].encode())
        names = csr.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        builder = build(
            "onprem",
            self._public(name),
            issuer.certificate.subject,
            issuer.key.public_key(),
            start=self._start(),
            serial=self._next(),
        )
        purposes = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
        builder = builder.add_extension(purposes, critical=False).add_extension(names, critical=False)
        return dump(builder.sign(issuer.key, hashes.SHA256()))

    def _public(self, name: str) -> rsa.RSAPublicKey:
        public_key = x509.load_pem_x509_csr(self.csrs[name].encode()).public_key()
        assert isinstance(public_key, rsa.RSAPublicKey)
        return public_key

    def _start(self) -> datetime:
        return self.clock() - timedelta(minutes=5)

    def _next(self) -> int:
        self.serial += 1
        return self.serial


def block(pem: str) -> str:
    """A PEM as the value of a line."""
    return "|\n" + indent(pem.rstrip("\n"), "  ")


def account(number: int, name: str, *licenses: str) -> str:
    """One Virtual Account for `FakePortal.accounts`."""
    text = "".join(licenses)
    return f'- :id: {number}\n  :name: "{name}"\n' + (f"  :licenses:\n{text}" if text else "  :licenses: []\n")


def owned(tag: str, purchased: int, *, reserved: int = 0, in_use: int = 0, compliant: bool = True) -> str:
    """One license of an account."""
    return (
        f'  - :tag: "{tag}"\n    :display_name: "A license"\n    :purchased_quantity: {purchased}\n'
        f"    :reserved_quantity: {reserved}\n    :in_use_quantity: {in_use}\n"
        f'    :compliance_status: "{"In Compliance" if compliant else "Out Of Compliance"}"\n'
        f"    :terms:\n    - :quantity: {purchased}\n      :license_type: perpetual\n"
        f"      :start_date: 2026-01-01T00:00:00Z\n      :end_date: null\n      :subscription_id: null\n"
    )
