"""Files of rows that belong together: request codes with their licenses, products with their classic licenses."""

from collections.abc import Callable
from io import BytesIO
from typing import Any

import pytest

from licensing.codecs import conversion_csv, reservation_csv

CODES = ("requestCode,entitlementTag,quantity", "{},ROUTER,1", reservation_csv.read_codes)
PRODUCTS = ("udiPid,udiSerialNumber,entitlementTag,quantity", "C9300,{},ROUTER,1", conversion_csv.read_products)

each = pytest.mark.parametrize(("header", "row", "read"), [CODES, PRODUCTS], ids=["codes", "products"])


@each
def test_rows_of_one_are_together_and_a_broken_row_leaves_the_others_be(
    header: str, row: str, read: Callable[..., Any]
):
    text = "\r\n".join([header, row.format("A1"), row.format("B2"), "a,b,c,d,e,f,g,h", row.format("A1")])
    found, errors = read(BytesIO(text.encode("utf-16")))
    assert errors == []
    assert [each.line for each in found] == [2, 3, 4]
    assert [error.code for each in found for error in each.errors if each.line == 4] == ["MALFORMED"]
    assert not found[1].errors


@each
def test_a_file_that_cannot_be_read_is_refused_as_a_whole(header: str, row: str, read: Callable[..., Any]):
    many = "\n".join([header, *(row.format(f"S{number}") for number in range(1_001))])
    lone = header.encode("utf-16")[:-1]
    unknown = f"{header},color\n"
    codes = []
    for content in (many.encode(), lone, unknown.encode(), b"\xff\xfe\x00\x00", f"{header}\n".encode(), b"\x00\x01"):
        found, (error,) = read(BytesIO(content))
        assert found == []
        codes.append(error.code)
    assert codes[:4] == ["TOO_MANY_LINES", "ENCODING_UNKNOWN", "UNKNOWN_COLUMN", "ENCODING_UNKNOWN"]
    assert codes[4] in {"CODE_MISSING", "NOTHING_TO_CONVERT"}
    assert codes[5] == "ENCODING_UNKNOWN"
    assert "about 1,001 lines" in read(BytesIO(many.encode()))[1][0].message


@pytest.mark.parametrize("codec", [reservation_csv, conversion_csv])
def test_the_example_reads_as_what_it_shows(codec: Any):
    read = getattr(codec, "read_codes", None) or codec.read_products
    found, errors = read(BytesIO(codec.write_example().encode()))
    assert errors == []
    assert [each.errors for each in found] == [[], []]
