"""The short hash by which a reservation request code names a product's software. Pure."""

import hashlib
from typing import Final

import base58

LENGTH: Final = 8


def software_hash(tag: str) -> str:
    """First 8 characters of Base58 (Bitcoin alphabet) of the SHA-256 of the software tag's UTF-8 bytes."""
    return base58.b58encode(hashlib.sha256(tag.encode()).digest()).decode("ascii")[:LENGTH]
