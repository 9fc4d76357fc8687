"""Which lane a device message belongs to, judged by a look at its bytes.

What looks otherwise than it is only waits in another lane: what a message is, and what it may do, is decided where it
is answered.
"""

import binascii
import re
from collections.abc import Hashable
from typing import Final
from urllib.parse import unquote_to_bytes

# A message is JSON within a JSON text, so its quotation marks have a backslash before them.
REGISTRATION: Final = re.compile(rb'request_type\\?"\s*:\s*\\?"REGISTRATION\\?"')
ID_TOKEN: Final = re.compile(rb'id_token\\?"\s*:\s*\\?"([^"\\]*(?:\\+[nr][^"\\]*)*)')
IN_ENVELOPE: Final = re.compile(rb"<(?:[\w.-]+:)?message>([A-Za-z0-9+/=\s]*)<")
JSON_PATHS: Final = frozenset({"/licservice/license", "/SmartTransport"})
PLAIN: Final = re.compile(rb"[A-Za-z0-9+/=_-]*")
BREAKS: Final = re.compile(rb"\\+[nr]|\s")


def is_registration(message: bytes) -> bool:
    return REGISTRATION.search(message) is not None


def key_of_token(message: bytes) -> Hashable:
    """The same for all messages with one ID token, in each form that is taken; not to be turned back into it."""
    found = ID_TOKEN.search(message)
    if found is None:
        return None
    token = found[1]
    if PLAIN.fullmatch(token) is None:
        # Whoever writes one token in many ways shall not be served as if he were many.
        token = unquote_to_bytes(BREAKS.sub(b"", token))
    return hash(token)


def open_envelope(body: bytes) -> bytes:
    """The message in a Call Home envelope; the body itself where there is none."""
    found = IN_ENVELOPE.search(body)
    if found is None:
        return body
    try:
        return binascii.a2b_base64(found[1])
    except binascii.Error:
        return body
