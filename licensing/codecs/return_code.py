"""Return codes: what a product shows once it has given its reservation up. Pure.

`C` (universal: `D`) + Base58, left-padded with `1` to 50 characters, of PIID(16) + MAC(20), in dash groups of 6. MAC is
the first 20 bytes of HMAC-SHA256(key = SHA-256(DER signature of the installed authorization), message = letter + PIID
bytes + timestamp as decimal text). White paper, "License Reservation".
"""

import hashlib
import hmac
import itertools
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from cssm.common.errors import Invalid
from licensing.codecs.typed_codes import BASE58, clean_code, decode_fixed, encode_fixed, in_groups
from licensing.states import REQUESTED_KINDS, ReservationKind

WHERE: Final = "returnCode"
BODY: Final = 50
MAC: Final = 20
_MEANT: Final = {"0": "o", "O": "o", "I": "1i", "l": "1L"}
_MOST_READINGS: Final = 64


@dataclass(frozen=True, slots=True)
class ReturnCode:
    """`body` is as typed, in the alphabet of Base58 or with 0, O, I and l."""

    kind: ReservationKind
    body: str

    @property
    def text(self) -> str:
        return in_groups(self.kind.letter + self.body)

    def piids(self) -> list[UUID]:
        """Whose code it can be: one, unless 0, O, I or l can be read in several ways; none where the value is none."""
        meant = [_MEANT.get(character, character) for character in self.body]
        readings = itertools.islice(itertools.product(*meant), _MOST_READINGS)
        decoded = (decode_fixed("".join(reading), 16 + MAC) for reading in readings)
        return list(dict.fromkeys(UUID(bytes=data[:16]) for data in decoded if data is not None))


def make_return_code(*, kind: ReservationKind, piid: UUID, timestamp: int, signature: bytes) -> str:
    """`signature` is the DER signature of the authorization, `timestamp` its time in ms."""
    message = kind.letter.encode() + piid.bytes + str(timestamp).encode()
    mac = hmac.digest(hashlib.sha256(signature).digest(), message, "sha256")[:MAC]
    return in_groups(kind.letter + encode_fixed(piid.bytes + mac, BODY))


def split_return_code(text: str) -> ReturnCode:
    """The parts. Raises `Invalid` (RETURN_CODE_INVALID) for what cannot be one, or what `clean_code` raises."""
    code = clean_code(text, where=WHERE, longest=300).replace("-", "")
    letter, body = code[:1].upper(), code[1:]
    if letter not in {kind.letter for kind in REQUESTED_KINDS}:
        raise _wrong(f'A return code begins with C (specific) or D (universal), not with "{code[:1]}".')
    strange = next((character for character in body if character not in BASE58 and character not in _MEANT), None)
    if strange is not None:
        raise _wrong(f'"{strange}" cannot stand in a return code.')
    if len(body) != BODY:
        raise _wrong(f"A return code has {BODY + 1} characters without its dashes; this one has {len(code)}.")
    return ReturnCode(ReservationKind.of_letter(letter), body)


def _wrong(message: str) -> Invalid:
    return Invalid(message, code="RETURN_CODE_INVALID", where=WHERE)
