"""Transfers as a CSV file, from a spreadsheet or by hand: read in constant memory, written safe to open. Pure.

UTF-8 (with or without a byte order mark), UTF-16 or Windows-1252; cells separated by commas, semicolons or tabs. The
columns are those of `transfer_lines`, in any order and case; `available` is there for the reader's eye alone. Cells are
data whatever they begin with: an apostrophe that keeps a spreadsheet from running one is taken off again.
"""

from collections.abc import Iterable, Sequence
from io import TextIOWrapper
from typing import IO, Any, Final

from licensing.codecs.csv_rows import Columns, CsvRefused, TooManyLines, read_file, read_rows, write_rows
from licensing.codecs.transfer_lines import FIELDS, MOST_LINES, LineError, TransferRequest, read_line

UNREAD: Final = ("available",)
COLUMNS: Final = ("license", "entitlementTag", "licenseType", "available", "quantity", "targetVirtualAccount",
                  "precedence")  # fmt: skip
MOST_ERRORS: Final = 100
MOST_ROWS: Final = 20_000
_COLUMNS: Final = Columns(
    shown=COLUMNS,
    known=FIELDS,
    required=(("entitlementTag", "license"), ("quantity",), ("targetVirtualAccount",)),
    unread=UNREAD,
)


def read_transfers(file: IO[bytes]) -> tuple[list[TransferRequest], list[LineError]]:
    """Requests and errors of a seekable file, with the lines of the file as their numbers (the header is line 1).

    At most 100 errors are listed. Lines whose quantity and target are both empty are passed over: a template lists what
    could be transferred. A file with more than 998 others is refused as a whole, with the number of its lines.
    """
    too_many = f"The file has about {{}} lines; a transfer has at most {MOST_LINES}. Split it into several files."
    requests, errors = read_file(file, _read_all, too_many=too_many)
    if not requests and not errors:
        message = "No line names a quantity and a target: there is nothing to transfer."
        errors.append(LineError(1, "", "NOTHING_TO_TRANSFER", message))
    return requests, errors


def write_transfers(rows: Iterable[Sequence[Any]]) -> str:
    """A CSV text with the header `COLUMNS`; texts that a spreadsheet would run as a formula get an apostrophe."""
    return write_rows(COLUMNS, rows)


def write_requests(requests: Iterable[TransferRequest]) -> str:
    """As a file that reads as the same requests."""
    return write_transfers(
        (
            each.license,
            each.tag,
            each.license_type.name if each.license_type else "",
            "",
            each.quantity,
            each.target,
            each.precedence,
        )
        for each in requests
    )


def _read_all(text: TextIOWrapper) -> tuple[list[TransferRequest], list[LineError]]:
    requests: list[TransferRequest] = []
    errors: list[LineError] = []
    asked = 0
    try:
        for rows, (line, values) in enumerate(read_rows(text, _COLUMNS), start=1):
            if isinstance(values, LineError):
                wrong = [values]
            elif values["quantity"] == values["targetVirtualAccount"] == "":
                wrong = []
            else:
                request, wrong = read_line(line, values)
                requests += [request] if request is not None else []
            asked = asked + 1 if wrong or (requests and requests[-1].line == line) else asked
            if asked > MOST_LINES or rows > MOST_ROWS:
                raise TooManyLines
            errors += wrong[: MOST_ERRORS - len(errors)]
    except CsvRefused as refused:
        errors.append(refused.error)
    return requests, errors
