"""What a certificate says about its subject."""

import ipaddress
import re
from typing import Final

from cryptography import x509
from cryptography.x509.oid import NameOID, ObjectIdentifier

PERMANENT_IDENTIFIER: Final = ObjectIdentifier("1.3.6.1.5.5.7.8.3")
MAX_SERIAL_NUMBER: Final = 64
"""ub-serial-number, RFC 5280 appendix A.1."""

MAX_PERMANENT_IDENTIFIER: Final = 1024
MAX_HOST_NAME: Final = 253
_LABEL: Final = r"(?!-)[a-z0-9-]{1,63}(?<!-)"
# The last label is no number, or it would be read as an address.
_HOST: Final = re.compile(rf"(?:{_LABEL}\.)*(?![0-9]+\Z){_LABEL}", re.ASCII)
_PRINTABLE: Final = re.compile(r"[A-Za-z0-9 '()+,\-./:=?]+", re.ASCII)


def make_subject(common_name: str, serial_number: str | None = None) -> x509.Name:
    """The serial number is left out where it is no PrintableString of at most 64 characters. Raises ValueError for a
    common name that is empty or longer than 64 characters."""
    attributes = [x509.NameAttribute(NameOID.COMMON_NAME, common_name)]
    if serial_number is not None and is_printable_serial_number(serial_number):
        attributes.append(x509.NameAttribute(NameOID.SERIAL_NUMBER, serial_number))
    return x509.Name(attributes)


def is_printable_serial_number(value: str) -> bool:
    return len(value) <= MAX_SERIAL_NUMBER and _PRINTABLE.fullmatch(value) is not None


def encode_permanent_identifier(value: str) -> bytes:
    """PermanentIdentifier of RFC 4043 in DER: SEQUENCE { identifierValue UTF8String }, without an assigner."""
    text = value.encode()
    if not 1 <= len(text) <= MAX_PERMANENT_IDENTIFIER:
        raise ValueError(f"a permanent identifier has 1 to {MAX_PERMANENT_IDENTIFIER} bytes")
    return _tagged(0x30, _tagged(0x0C, text))


def is_host_name(value: str) -> bool:
    """An IP address, or a DNS name in lower case without wildcards (RFC 1123)."""
    try:
        return str(ipaddress.ip_address(value)) == value
    except ValueError:
        return len(value) <= MAX_HOST_NAME and _HOST.fullmatch(value) is not None


def encode_host_names(names: tuple[str, ...]) -> x509.SubjectAlternativeName:
    """DNS names and IP addresses, in their order. Raises ValueError for none."""
    if not names:
        raise ValueError("a server's certificate names at least one host")
    return x509.SubjectAlternativeName([_host(name) for name in names])


def _host(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _tagged(tag: int, content: bytes) -> bytes:
    return bytes([tag]) + encode_length(len(content)) + content


def encode_length(length: int) -> bytes:
    """A length in DER (X.690, 10.1)."""
    if length < 0x80:
        return bytes([length])
    octets = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes([0x80 | len(octets)]) + octets
