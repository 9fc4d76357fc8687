"""Reservation request codes, as a product shows them: `CB-ZC9300-24UX:FCW2134L0RN-AK9A6sMTr-86`. Pure.

version letter (`C` specific, `D` universal), sequence letter, `-Z`, PID`:`SN (split at the last `:`), `-A` and the
short hash of the software tag, `-` and two hex digits: the first byte of SHA-256 over everything before that dash.
White paper, "License Reservation".
"""

import hashlib
import itertools
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from cssm.common.errors import Invalid
from licensing.codecs.device_udi import PID, SERIAL, DeviceUdi
from licensing.codecs.software_hash import LENGTH as HASH_LENGTH
from licensing.codecs.software_hash import software_hash
from licensing.codecs.typed_codes import BASE58, clean_code
from licensing.states import REQUESTED_KINDS, ReservationKind

WHERE: Final = "reservationCode"
_HEX: Final = "0123456789ABCDEF"
# What a character that is not of an alphabet may have been meant as.
_MEANT_IN_HASH: Final = {"0": "o", "O": "o", "I": "1i", "l": "1L"}
_MEANT_IN_CHECK: Final = {"O": "0", "I": "1", "L": "1"}
_MEANT_IN_SEQUENCE: Final = {"0": "O", "1": "IL"}
_TAIL: Final = re.compile(r"(?P<udi>.*)-[Aa](?P<hash>[^-]*)-(?P<check>[^-]*)", re.DOTALL)

FindHashes = Callable[[str], Iterable[str]]


class Part(StrEnum):
    """The parts of a request code, for telling which one is wrong."""

    VERSION = "version"
    SEQUENCE = "sequence"
    SEPARATOR = "separator"
    UDI = "udi"
    SOFTWARE = "software"
    CHECK = "check"


@dataclass(frozen=True, slots=True)
class RequestCode:
    kind: ReservationKind
    sequence: str
    udi: DeviceUdi
    software_hash: str
    check: str

    @property
    def checked_text(self) -> str:
        return f"{self.kind.letter}{self.sequence}-Z{self.udi.udi}-A{self.software_hash}"

    @property
    def text(self) -> str:
        """As the product shows it."""
        return f"{self.checked_text}-{self.check}"

    @property
    def is_whole(self) -> bool:
        """Whether the check digits are those of the rest."""
        return self.check == check_digits(self.checked_text)


def check_digits(text: str) -> str:
    return f"{hashlib.sha256(text.encode()).digest()[0]:02X}"


def make_request_code(*, kind: ReservationKind, sequence: str, udi: DeviceUdi, software_tag: str) -> RequestCode:
    """What a product would show."""
    bare = RequestCode(kind, sequence, udi, software_hash(software_tag), "")
    return RequestCode(kind, sequence, udi, bare.software_hash, check_digits(bare.checked_text))


def split_request_code(text: str) -> RequestCode:
    """The parts, whatever the check digits say. Raises `Invalid` as `read_request_code` does."""
    return next(_candidates(_split(clean_code(text, where=WHERE)), ()))


def read_request_code(text: str, *, find_hashes: FindHashes | None = None) -> RequestCode:
    """The request code that was meant, with its check digits right.

    As typed, where that is right. Else what is unambiguous: 0, O, I and l where they cannot stand, and a code that came
    in one case throughout, with `find_hashes(short_hash)` giving the known software hashes that are the same in another
    case. Raises `Invalid` (REQUEST_CODE_INVALID, REQUEST_CODE_CHECK, REQUEST_CODE_AMBIGUOUS) with `details["part"]`, or
    what `clean_code` raises.
    """
    parts = _split(clean_code(text, where=WHERE))
    known = tuple(find_hashes(parts.software_hash)) if find_hashes and parts.is_one_case else ()
    meant: dict[str, RequestCode] = {}
    for candidate in _candidates(parts, known):
        if candidate.is_whole:
            if candidate.text == parts.text:
                return candidate
            meant[candidate.text] = candidate
    if len(meant) == 1:
        return next(iter(meant.values()))
    if meant:
        raise _wrong(
            Part.CHECK,
            f"The code can be read in {len(meant)} ways. Type it exactly as the product shows it.",
            code="REQUEST_CODE_AMBIGUOUS",
        )
    raise _wrong(
        Part.CHECK,
        f"The check digits {parts.check} do not fit the rest. Compare with what the product shows: the product"
        f" {parts.udi.udi}, the software A{parts.software_hash}, and the digits themselves.",
        code="REQUEST_CODE_CHECK",
    )


@dataclass(frozen=True, slots=True)
class _Typed:
    """The parts as typed, each in a form it can have."""

    version: str
    sequence: str
    udi: DeviceUdi
    software_hash: str
    check: str
    text: str

    @property
    def is_one_case(self) -> bool:
        return self.text in (self.text.lower(), self.text.upper())


def _split(text: str) -> _Typed:
    version, sequence = text[:1].upper(), text[1:2].upper()
    if version not in {kind.letter for kind in REQUESTED_KINDS}:
        raise _wrong(Part.VERSION, f'A request code begins with C (specific) or D (universal), not with "{text[:1]}".')
    if not (sequence.isalpha() or sequence in _MEANT_IN_SEQUENCE):
        raise _wrong(Part.SEQUENCE, f'The second character is a letter, not "{text[1:2]}".')
    if text[2:4].upper() != "-Z":
        raise _wrong(Part.SEPARATOR, f'After the first two letters comes -Z, not "{text[2:4]}".')
    tail = _TAIL.fullmatch(text, 4)
    if tail is None:
        part = Part.SOFTWARE if re.search(r"-[^-]{2}$", text[4:]) else Part.CHECK
        raise _wrong(part, "The code ends with -A, eight characters for the software, a dash and two check digits.")
    _check_tail(tail["hash"], tail["check"].upper())
    pid, colon, serial = tail["udi"].rpartition(":")
    if not colon:
        raise _wrong(Part.UDI, f'"{tail["udi"]}" is no product id and serial number with a colon between.')
    if not PID.fullmatch(pid) or not SERIAL.fullmatch(serial):
        raise _wrong(Part.UDI, f'"{tail["udi"]}" holds characters that no product id or serial number has.')
    return _Typed(version, sequence, DeviceUdi(pid, serial), tail["hash"], tail["check"].upper(), text)


def _check_tail(short_hash: str, check: str) -> None:
    if len(short_hash) != HASH_LENGTH:
        message = f'The software part "A{short_hash}" has {len(short_hash)} characters after the A instead of eight.'
        raise _wrong(Part.SOFTWARE, message)
    strange = next((c for c in short_hash if c not in BASE58 and c not in _MEANT_IN_HASH), None)
    if strange is not None:
        raise _wrong(Part.SOFTWARE, f'"{strange}" cannot stand in the software part "A{short_hash}".')
    if len(check) != 2 or any(c not in _HEX and c not in _MEANT_IN_CHECK for c in check):
        raise _wrong(Part.CHECK, f'The code ends with two check digits of 0 to 9 and A to F, not with "{check}".')


def _candidates(parts: _Typed, known_hashes: Iterable[str]) -> Iterator[RequestCode]:
    """What can have been meant, the most literal first."""
    kind = ReservationKind.of_letter(parts.version)
    sequences = _MEANT_IN_SEQUENCE.get(parts.sequence, parts.sequence)
    hashes = ["".join(each) for each in itertools.product(*(_MEANT_IN_HASH.get(c, c) for c in parts.software_hash))]
    hashes += [each for each in known_hashes if each not in hashes]
    checks = ["".join(each) for each in itertools.product(*(_MEANT_IN_CHECK.get(c, c) for c in parts.check))]
    udis = [parts.udi]
    if parts.text == parts.text.lower() and parts.text != parts.text.upper():
        udis.append(DeviceUdi(parts.udi.pid.upper(), parts.udi.serial.upper()))
    for sequence, short_hash, check, udi in itertools.product(sequences, hashes, checks, udis):
        yield RequestCode(kind, sequence, udi, short_hash, check)


def _wrong(part: Part, message: str, *, code: str = "REQUEST_CODE_INVALID") -> Invalid:
    return Invalid(message, code=code, where=WHERE, details={"part": part.value})
