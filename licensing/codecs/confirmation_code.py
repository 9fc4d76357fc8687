"""Confirmation codes: what a product shows once it has installed an authorization. Pure.

Base58 of the first 8 bytes of SHA-256(`UDI|sequence letter of the request code|PIID|timestamp of the authorization`).
White paper, "License Reservation". It proves that someone holds the authorization, not that the product installed it.
"""

import hashlib
from typing import Final
from uuid import UUID

import base58

from cssm.common.errors import Invalid
from licensing.codecs.device_udi import DeviceUdi
from licensing.codecs.typed_codes import BASE58, clean_code

WHERE: Final = "confirmationCode"
LONGEST: Final = 11
"""58¹¹ > 2⁶⁴."""

_SHORTEST: Final = 8
_ALLOWED: Final = frozenset(BASE58 + "0OIl")


def make_confirmation_code(*, udi: DeviceUdi, sequence: str, piid: UUID, timestamp: int) -> str:
    """`timestamp` is the authorization's, in ms."""
    text = f"{udi.text}|{sequence}|{piid}|{timestamp}"
    return base58.b58encode(hashlib.sha256(text.encode()).digest()[:8]).decode("ascii")


def read_confirmation_code(text: str) -> str:
    """Cleaned; compare it with `is_same_code`. Raises `Invalid` for what cannot be one."""
    code = clean_code(text, where=WHERE, longest=200).replace("-", "")
    strange = next((character for character in code if character not in _ALLOWED), None)
    if strange is not None:
        raise _wrong(f'"{strange}" cannot stand in a confirmation code.')
    if not _SHORTEST <= len(code) <= LONGEST:
        raise _wrong(f"A confirmation code has {_SHORTEST} to {LONGEST} characters; this one has {len(code)}.")
    return code


def _wrong(message: str) -> Invalid:
    return Invalid(message, code="CONFIRMATION_CODE_INVALID", where=WHERE)
