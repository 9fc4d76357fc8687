"""What makes a product itself: its UDI, its key pair and the request for its certificates."""

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from agents.common.product_names import MAX_COMMON_NAME
from agents.smart_agent.errors import UsageError
from agents.smart_agent.messages import Sudi


def udi_text(sudi: Sudi) -> str:
    return f"{sudi.udi_pid}:{sudi.udi_serial_number}"


def common_name(sudi: Sudi) -> str:
    """The subject of the CSR, and so of the ID certificate."""
    return udi_text(sudi)[:MAX_COMMON_NAME]


def permanent_identifiers(sudi: Sudi) -> list[str]:
    """What an ID certificate for this product may carry whole as its permanentIdentifier."""
    return [udi_text(sudi), *([sudi.uuid] if sudi.uuid else [])]


def make_csr(key: rsa.RSAPrivateKey, name: str) -> str:
    """A PKCS #10 request as PEM with this common name, signed with SHA-256; the same key gives the same bytes."""
    try:
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    except ValueError as error:
        raise UsageError(f"The UDI cannot be a certificate's common name: {error}.") from None
    request = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    return request.public_bytes(serialization.Encoding.PEM).decode()
