"""Transfers as CSV: what spreadsheets write is read, everything else is refused with line, column and code."""

import io
import tracemalloc

import pytest

from licensing.codecs.transfer_csv import MOST_ROWS, read_transfers, write_requests, write_transfers
from licensing.codecs.transfer_lines import TransferRequest, read_lines
from licensing.states import LicenseType, Precedence

GOLDEN = (
    "license,entitlementTag,licenseType,available,quantity,targetVirtualAccount,precedence\r\n"
    "Café Router,,PERPETUAL,9,5,DEFAULT,\r\n"
    ',DNA-1,term,,12,"Lab, Zürich",shortest term first\r\n'
    "Untouched,,,40,,,\r\n"
    '"Say ' + '""hi""' + '",,,,1,' + "'=cmd|A0,LONGEST_TERM_FIRST\r\n"
)
READ = [
    TransferRequest(2, "Café Router", "", 5, "DEFAULT", LicenseType.PERPETUAL),
    TransferRequest(3, "", "DNA-1", 12, "Lab, Zürich", LicenseType.TERM, Precedence.SHORTEST_TERM_FIRST),
    TransferRequest(5, 'Say "hi"', "", 1, "=cmd|A0"),
]


def read(text, encoding="utf-8"):
    return read_transfers(io.BytesIO(text.encode(encoding) if isinstance(text, str) else text))


def codes(text, encoding="utf-8"):
    return [(error.line, error.field, error.code) for error in read(text, encoding)[1]]


def lines(*rows, header="entitlementTag,quantity,targetVirtualAccount"):
    return "\n".join([header, *rows]) + "\n"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp1252"])
def test_every_encoding_that_a_spreadsheet_writes_reads_the_same(encoding):
    assert read(GOLDEN, encoding) == (READ, [])


@pytest.mark.parametrize("delimiter", [";", "\t"])
def test_cells_may_be_apart_by_semicolon_or_tab(delimiter):
    text = f"sep={delimiter}\n" if delimiter == ";" else ""
    text += f"Entitlement Tag{delimiter}QUANTITY{delimiter}target_virtual_account\nA,B{delimiter}7{delimiter}X\n"
    (request,), errors = read(text)
    assert (request.tag, request.quantity, request.target, errors) == ("A,B", 7, "X", [])


def test_what_is_written_reads_as_the_same_and_no_cell_is_a_formula():
    text = write_requests(READ)
    assert [request.target for request in read(text)[0]] == [request.target for request in READ]
    assert [request.quantity for request in read(text)[0]] == [5, 12, 1]
    assert text.splitlines()[1:] == [
        "Café Router,,PERPETUAL,,5,DEFAULT,LONGEST_TERM_FIRST",
        ',DNA-1,TERM,,12,"Lab, Zürich",SHORTEST_TERM_FIRST',
        GOLDEN.splitlines()[-1],
    ]
    assert write_transfers([("@SUM(1)", "+1", "-1", 5, "\tx", "=", "")]).splitlines()[1].count("'") == 5


@pytest.mark.parametrize(
    ("quantity", "code"),
    [
        ("0", "OUT_OF_RANGE"),
        ("-3", "OUT_OF_RANGE"),
        ("1" + "0" * 30, "OUT_OF_RANGE"),
        ("1.5", "WRONG_TYPE"),
        ("1e3", "WRONG_TYPE"),
        ("true", "WRONG_TYPE"),
        ("٣", "WRONG_TYPE"),
        ("=1+1", "WRONG_TYPE"),
        ("", "MISSING"),
    ],
)
def test_a_quantity_is_a_whole_number_of_one_or_more(quantity, code):
    assert codes(lines(f"A,{quantity},X")) == [(2, "quantity", code)]


def test_everything_wrong_is_named_at_once_with_its_line_and_column():
    header = "license,entitlementTag,licenseType,quantity,targetVirtualAccount,precedence"
    text = lines(",,lease,0,,soon", 'A,,,1,"X\nY",', "B,,,1", f"{'n' * 256},,,x,X,", header=header)
    assert codes(text) == [
        (2, "license", "MISSING"),
        (2, "licenseType", "LICENSE_TYPE_INVALID"),
        (2, "quantity", "OUT_OF_RANGE"),
        (2, "targetVirtualAccount", "MISSING"),
        (2, "precedence", "PRECEDENCE_INVALID"),
        (5, "", "MALFORMED"),
        (6, "license", "TOO_LONG"),
        (6, "quantity", "WRONG_TYPE"),
    ]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "MALFORMED"),
        ("\n\n", "MALFORMED"),
        ("quantity,targetVirtualAccount\n", "MISSING_COLUMN"),
        ("license,quantity,targetVirtualAccount,color\n", "UNKNOWN_COLUMN"),
        ("license,License,quantity,targetVirtualAccount\n", "DUPLICATE"),
        (lines(), "NOTHING_TO_TRANSFER"),
        (lines("A,,"), "NOTHING_TO_TRANSFER"),
        (lines('A,1,"X'), "MALFORMED"),
        (lines('A,1,"X"Y'), "MALFORMED"),
        (lines("A,1," + "x" * 5_000), "TOO_LONG"),
        (lines("A,1,") + "x" * 1_000_000, "MISSING"),
    ],
)
def test_what_is_no_list_of_transfers_is_refused(text, code):
    assert codes(text)[0][2] == code


@pytest.mark.parametrize(
    "data",
    [
        b"PK\x03\x04\x14\x00\x06\x00\x08\x00" + bytes(range(256)),
        lines("A,1,X").encode("utf-32"),
        lines("A,1,X").encode() + b"caf\xe9,1,\x81\n",
        b"\xef\xbb\xbf" + lines("caf\xe9,1,X").encode("cp1252"),
        lines("A,1,X").encode("utf-16")[:-1],
        lines("A,1,X\x00").encode(),
    ],
    ids=["xlsx", "utf-32", "no windows-1252", "a false mark", "cut off", "nul"],
)
def test_what_cannot_be_read_as_text_is_refused_and_not_guessed(data):
    ((_, _, code),) = codes(data)
    assert code == "ENCODING_UNKNOWN"


def test_998_lines_are_read_and_one_more_is_refused_whole():
    assert len(read(lines(*["A,1,X"] * 998))[0]) == 998
    assert read(lines(*["A,1,X"] * 999))[0] == []
    ((line, _, code),) = codes(lines(*["A,1,X"] * 999))
    assert (line, code) == (1, "TOO_MANY_LINES")
    assert codes(lines(*["A,0,X"] * 999)) == [(1, "", "TOO_MANY_LINES")]
    assert codes(lines(*["A,,"] * (MOST_ROWS + 1))) == [(1, "", "TOO_MANY_LINES")]


def test_a_million_lines_are_refused_with_their_number_at_constant_memory(tmp_path):
    path = tmp_path / "many.csv"
    path.write_bytes(lines().encode() + b"DNA-1,1,Laboratory\n" * 1_000_000)
    tracemalloc.start()
    with path.open("rb") as file:
        requests, (error,) = read_transfers(file)
        assert not file.closed
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (requests, error.code) == ([], "TOO_MANY_LINES")
    assert "1,000,001 lines" in error.message
    assert peak < 4 * 1024 * 1024


def test_at_most_100_errors_are_listed():
    assert len(codes(lines(*["A,0,X"] * 500))) == 100


def test_json_lines_are_read_by_the_same_rules():
    good = {"license": "A", "quantity": "5", "targetVirtualAccount": "X", "licenseType": "PERPETUAL"}
    requests, errors = read_lines([good, {**good, "quantity": 5, "entitlementTag": "T"}, {**good, "quantity": 2.0}])
    assert [(each.license, each.tag, each.quantity) for each in requests] == [("A", "", 5), ("", "T", 5), ("A", "", 2)]
    assert errors == []
    wrong: list[object] = [True, 1.5, None, 10**30, -1, [], "½", "0x1"]
    _, errors = read_lines([*({**good, "quantity": each} for each in wrong), "A", {**good, "color": "red"}])
    assert [(each.line, each.field) for each in errors] == [*((n, "quantity") for n in range(1, 9)), (9, ""),
                                                           (10, "color")]  # fmt: skip
