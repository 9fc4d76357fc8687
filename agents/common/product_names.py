"""How a certificate names a product: its common name, and its UDI whole as permanentIdentifier (RFC 4043)."""

from typing import Final

from cryptography import x509

PERMANENT_IDENTIFIER: Final = x509.ObjectIdentifier("1.3.6.1.5.5.7.8.3")
MAX_COMMON_NAME: Final = 64
"""ub-common-name, RFC 5280 appendix A.1."""


def encode_permanent_identifier(value: str) -> bytes:
    """PermanentIdentifier (RFC 4043) with this identifierValue and no assigner; DER knows one way to write it."""
    return _tagged(0x30, _tagged(0x0C, value.encode()))


def _tagged(tag: int, content: bytes) -> bytes:
    length = len(content)
    if length < 0x80:
        return bytes([tag, length]) + content
    size = (length.bit_length() + 7) // 8
    return bytes([tag, 0x80 | size]) + length.to_bytes(size, "big") + content
