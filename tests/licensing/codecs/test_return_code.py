"""Return and confirmation codes."""

import hashlib
import hmac
from typing import Any
from uuid import UUID

import base58
import pytest

from cssm.common.errors import Invalid
from licensing.codecs.confirmation_code import make_confirmation_code, read_confirmation_code
from licensing.codecs.device_udi import DeviceUdi
from licensing.codecs.return_code import make_return_code, split_return_code
from licensing.codecs.typed_codes import decode_fixed, encode_fixed, is_same_code
from licensing.states import ReservationKind
from tests.formats import read_golden

PIID = UUID("6ca07f56-145c-4ace-bdc2-40417fd49d47")
UDI = DeviceUdi("C9300-24UX", "FCW2134L0RN")
REAL = [row.split("\t") for row in read_golden("reservation_codes_real.tsv").splitlines()]


def make(**changes):
    values = {"kind": ReservationKind.SPECIFIC, "piid": PIID, "timestamp": 1772443800123, "signature": b"der"}
    return make_return_code(**values | changes)


@pytest.mark.parametrize("row", [row for row in REAL if row[0] == "return"])
def test_return_codes_of_real_products_split_into_their_parts(row):
    code = split_return_code(row[1])
    assert (code.kind, code.body, code.text) == (row[2], row[3], row[1])


@pytest.mark.parametrize("row", [row for row in REAL if row[0] == "confirmation"])
def test_confirmation_codes_of_real_products_are_read(row):
    assert read_confirmation_code(row[1]) == row[1]


@pytest.mark.parametrize("kind", list(ReservationKind))
def test_the_return_code_is_as_agreed(kind):
    code = make(kind=kind)
    message = kind.letter.encode() + PIID.bytes + b"1772443800123"
    mac = hmac.digest(hashlib.sha256(b"der").digest(), message, "sha256")[:20]
    data = base58.b58decode(code.replace("-", "")[1:].lstrip("1"))
    assert data.rjust(36, b"\0") == PIID.bytes + mac
    assert [len(group) for group in code.split("-")] == [6] * 8 + [3]
    assert split_return_code(code).piids() == [PIID]


def test_the_golden_codes():
    letters = {"udi": UDI, "sequence": "B", "piid": PIID, "timestamp": 1772443800123}
    assert [make(), make(kind=ReservationKind.UNIVERSAL), make_confirmation_code(**letters)] == read_golden(
        "return_and_confirmation_codes.txt"
    ).splitlines()


def test_every_part_of_the_confirmation_counts():
    base: dict[str, Any] = {"udi": UDI, "sequence": "B", "piid": PIID, "timestamp": 5}
    others: list[dict[str, Any]] = [
        {"udi": DeviceUdi("C9300-24UX", "FCW2134L0RM")},
        {"sequence": "C"},
        {"piid": UUID(int=1)},
        {"timestamp": 6},
    ]
    codes = {make_confirmation_code(**base | other) for other in ({}, *others)}
    assert len(codes) == 5
    text = f"P:C9300-24UX,S:FCW2134L0RN|B|{PIID}|5"
    assert base58.b58encode(hashlib.sha256(text.encode()).digest()[:8]).decode() == make_confirmation_code(**base)


def test_leading_zeros_are_kept():
    assert encode_fixed(bytes(36), 50) == "1" * 50
    assert decode_fixed("1" * 50, 36) == bytes(36)
    assert split_return_code(make(piid=UUID(int=0))).piids() == [UUID(int=0)]


def test_a_code_is_compared_as_people_copy_it():
    code = make()
    assert is_same_code(code.replace("-", ""), code)
    assert is_same_code(code.upper(), code)
    assert is_same_code(code.replace("o", "0").replace("1", "l"), code)
    assert not is_same_code(code[:-1], code)
    assert not is_same_code(make(timestamp=6), code)


def test_every_slip_of_the_pen_makes_another_code_or_none():
    code = make().replace("-", "")
    for position in range(1, len(code)):
        for other in "ABCXYZabcxyz23456789":
            spoiled = code[:position] + other + code[position + 1 :]
            assert is_same_code(spoiled, code) is (other.casefold() == code[position].casefold())


def test_letters_of_no_alphabet_are_read_as_what_they_look_like():
    code = make(piid=UUID("00000000-145c-4ace-bdc2-40417fd49d47"))
    assert "1" in code[:7]
    assert UUID("00000000-145c-4ace-bdc2-40417fd49d47") in split_return_code(code.replace("1", "I")).piids()
    assert UUID("00000000-145c-4ace-bdc2-40417fd49d47") in split_return_code(code.replace("1", "l")).piids()


def test_a_value_that_is_too_large_for_a_code_of_ours_belongs_to_nobody():
    assert split_return_code("C" + "z" * 50).piids() == []


@pytest.mark.parametrize(
    "text", ["", "X" + "1" * 50, "C" + "1" * 49, "C" + "1" * 51, "C" + "_" * 50, "x" * 10**6, "С" * 51]
)
def test_what_is_no_return_code_is_refused(text):
    with pytest.raises(Invalid):
        split_return_code(text)


@pytest.mark.parametrize("text", ["", "abc", "a" * 12, "abcdefg!", "x" * 10**6, "абвгдежзи"])
def test_what_is_no_confirmation_code_is_refused(text):
    with pytest.raises(Invalid):
        read_confirmation_code(text)
