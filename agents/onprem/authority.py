"""The on-prem server's own authority: certificates for products, signed with the LCS key.

4 tiers: root → `satellite_cert` → `local_sub_ca_cert_1_1` → product. 3 tiers: root → `local_sub_ca_cert` → product.
The profile is the portal's (RFC 5280): only the name and the key of a CSR are taken over.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from agents.common.product_names import PERMANENT_IDENTIFIER, encode_permanent_identifier
from agents.common.trust import find_extension, load_certificate
from agents.onprem.errors import NotReady

LIFETIME: Final = timedelta(days=365)
BACKDATING: Final = timedelta(minutes=5)
MAX_SERIAL_NUMBER: Final = 64
"""ub-serial-number, RFC 5280 appendix A.1."""

_PRINTABLE: Final = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789 '()+,-./:=?")


@dataclass(frozen=True, slots=True)
class Issued:
    """What a product is given: PEM certificates, and the serial number (lower-case hex) and end of its identity."""

    sub_ca_cert: str
    chain: list[str]
    id_cert: str
    signing_cert: str
    serial: str
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Authority:
    """The LCS key under one of its certificates; `chain` is what stands between that one and the root."""

    key: rsa.RSAPrivateKey
    certificate: x509.Certificate
    chain: list[str]

    @classmethod
    def load(cls, key: rsa.RSAPrivateKey, certificates: dict[str, str], *, tiers: int) -> "Authority":
        """For products that check 3 or 4 tiers. Raises NotReady where the portal has not signed it yet."""
        name = "local_sub_ca_cert" if tiers == 3 else "local_sub_ca_cert_1_1"
        if name not in certificates:
            raise NotReady(
                "The certificate for 3-tier products has not come yet: the portal signs it 48 hours after this server's"
                " registration, and the next synchronization brings it."
            )
        chain = [] if tiers == 3 else [certificates["satellite_cert"]]
        return cls(key, load_certificate(certificates[name], name), chain)

    def issue(
        self, *, name: str, udi: str, public_key: rsa.RSAPublicKey, signing_key: rsa.RSAPublicKey, now: datetime
    ) -> Issued:
        """The ID certificate of a product and the certificate of the key that signs our answers to it.

        Raises NotReady once the authority's own certificate has run out.
        """
        if now >= self.certificate.not_valid_after_utc:
            raise NotReady("The certificate of this server's own authority has run out: synchronize with the portal.")
        names = [x509.NameAttribute(NameOID.COMMON_NAME, name)]
        if len(udi) <= MAX_SERIAL_NUMBER and set(udi) <= _PRINTABLE:
            names.append(x509.NameAttribute(NameOID.SERIAL_NUMBER, udi))
        identity = (
            self._prepare(x509.Name(names), public_key, now)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
            .add_extension(
                x509.SubjectAlternativeName([x509.OtherName(PERMANENT_IDENTIFIER, encode_permanent_identifier(udi))]),
                critical=False,
            )
            .sign(self.key, hashes.SHA256())
        )
        # No extended key usage: that tells it from an ID certificate, so that no product can speak as the server.
        speaker = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "On-prem license server, answers to products")])
        signing = self._prepare(speaker, signing_key, now).sign(self.key, hashes.SHA256())
        return Issued(
            sub_ca_cert=dump(self.certificate),
            chain=self.chain,
            id_cert=dump(identity),
            signing_cert=dump(signing),
            serial=f"{identity.serial_number:x}",
            expires_at=identity.not_valid_after_utc,
        )

    def _prepare(self, subject: x509.Name, key: rsa.RSAPublicKey, now: datetime) -> x509.CertificateBuilder:
        start = now.replace(microsecond=0) - BACKDATING
        own = find_extension(self.certificate, x509.SubjectKeyIdentifier)
        stated = (
            x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(own)
            if own is not None
            else x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key())
        )
        usage = x509.KeyUsage(
            digital_signature=True,
            content_commitment=False,
            key_encipherment=False,
            data_encipherment=False,
            key_agreement=False,
            key_cert_sign=False,
            crl_sign=False,
            encipher_only=False,
            decipher_only=False,
        )
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.certificate.subject)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(max(start, self.certificate.not_valid_before_utc))
            .not_valid_after(min(start + LIFETIME, self.certificate.not_valid_after_utc))
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(usage, critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
            .add_extension(stated, critical=False)
        )


def dump(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(Encoding.PEM).decode()
