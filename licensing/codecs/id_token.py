"""ID tokens, byte for byte (white paper, "Cisco product registration ID Tokens").

TBS   = "<Virtual Account UUID>:<Unix ms>"
token = Base64( Base64(HMAC-SHA256(KEY, TBS)) + TBS )      standard alphabet, one line
"""

import base64
import hmac
from typing import Final
from urllib.parse import unquote_to_bytes
from uuid import UUID

KEY_BYTES: Final = 32
MAX_INPUT_LENGTH: Final = 2048
"""A token has 128 characters; percent-encoding each of them makes 384, and line breaks may come on top."""


def make_token(*, key: bytes, virtual_account: UUID, milliseconds: int) -> str:
    """The token of a random 32-byte key, a Virtual Account and the time of its making."""
    if len(key) != KEY_BYTES:
        raise ValueError(f"the key has {KEY_BYTES} bytes")
    to_be_signed = f"{virtual_account}:{milliseconds}".encode()
    signature = base64.b64encode(hmac.digest(key, to_be_signed, "sha256"))
    return base64.b64encode(signature + to_be_signed).decode()


def normalise_token(text: str) -> str | None:
    """The one spelling by which a token is looked up: percent-encoding and line breaks undone, nothing else.

    None for what cannot be a token in any spelling.
    """
    if len(text) > MAX_INPUT_LENGTH or not text.isascii():
        return None
    plain = unquote_to_bytes(text).translate(None, b"\r\n") if "%" in text else text.encode().translate(None, b"\r\n")
    if not plain or not plain.isascii():
        return None
    return plain.decode()
