"""Many request codes at once: one per line, or a CSV file that says for each which licenses it is to get. Pure.

The columns: `requestCode`, and optionally `entitlementTag` or `license` (its name), `quantity`, `licenseType`. Several
lines with the same request code are one reservation of several licenses. A file without the header is a list of codes.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from io import TextIOWrapper
from typing import IO, Any, Final

from licensing.codecs.csv_rows import Columns, Rows, group_rows, read_file, read_rows, write_rows
from licensing.codecs.transfer_lines import LineError, TransferRequest, read_line

COLUMNS: Final = ("requestCode", "entitlementTag", "license", "quantity", "licenseType")
MOST_CODES: Final = 1000
MOST_ROWS: Final = 20_000
MOST_LICENSES: Final = 500
MOST_LENGTH: Final = 4_000
EXAMPLE: Final = (
    ("CB-ZC9300-24UX:FCW2134L0RN-AK9A6sMTr-86", "regid.2017-03.com.example.ADVANTAGE", "", 1, ""),
    ("CB-ZC9300-24UX:FCW2134L0RN-AK9A6sMTr-86", "", "DNA Essentials", 2, "TERM"),
    ("CB-ZC9300-48UXM:FCW2130G0NH-AK9A6sMTr-BF", "regid.2017-03.com.example.ADVANTAGE", "", 1, ""),
)
_COLUMNS: Final = Columns(shown=COLUMNS, known=COLUMNS, required=(("requestCode",),))
_HEADER: Final = re.compile(r"request[\s_-]*code|reservation[\s_-]*code", re.IGNORECASE)


@dataclass(slots=True)
class CodeRow:
    """A request code with what it is to get, its licenses not looked up yet; `errors` are those of its lines."""

    line: int
    request_code: str
    licenses: list[TransferRequest] = field(default_factory=list)
    errors: list[LineError] = field(default_factory=list)


def read_codes(file: IO[bytes]) -> tuple[list[CodeRow], list[LineError]]:
    """The codes of a seekable file in their order, each once, and what is wrong with the file as a whole.

    What is wrong with single lines stands with their code, so that the others can go on.
    """
    too_many = f"These are about {{}} lines; at most {MOST_CODES:,} codes are taken at once. Split them."
    return read_file(file, _read, too_many=too_many)


def write_codes(rows: Iterable[CodeRow]) -> str:
    """As a text that reads as the same rows."""
    lines: list[tuple[Any, ...]] = []
    for row in rows:
        named: list[tuple[Any, ...]] = [
            (each.tag, each.license, each.quantity, each.license_type.name if each.license_type else "")
            for each in row.licenses
        ]
        lines += [(row.request_code, *cells) for cells in named or [("", "", "", "")]]
    return write_rows(COLUMNS, lines)


def write_example() -> str:
    """A CSV text that shows the columns."""
    return write_rows(COLUMNS, EXAMPLE)


def _read(text: TextIOWrapper) -> tuple[list[CodeRow], list[LineError]]:
    first = text.readline(MOST_LENGTH)
    while first and not first.strip():
        first = text.readline(MOST_LENGTH)
    text.seek(0)
    has_header = re.fullmatch(r"sep=.\s*", first.lower()) or _HEADER.search(first)
    rows = group_rows(
        read_rows(text, _COLUMNS) if has_header else _bare(text),
        add=_add,
        broken=lambda error: CodeRow(error.line, "", errors=[error]),
        most_rows=MOST_ROWS,
        most_groups=MOST_CODES,
    )
    missing = LineError(1, "requestCode", "CODE_MISSING", "There is no request code in this.")
    return rows, [] if rows else [missing]


def _bare(text: TextIOWrapper) -> Rows:
    line = 0
    while piece := text.readline(MOST_LENGTH):
        line += 1
        if code := piece.strip():
            yield line, {"requestCode": code}


def _add(found: dict[str, CodeRow], line: int, values: dict[str, str]) -> None:
    code = values["requestCode"]
    row = found.setdefault("".join(code.split()) or f"line {line}", CodeRow(line, code))
    if not code:
        row.errors.append(LineError(line, "requestCode", "CODE_MISSING", "The request code is missing."))
        return
    if not any(value for name, value in values.items() if name != "requestCode"):
        return
    request, errors = read_line(line, {**values, "targetVirtualAccount": "-", "precedence": ""})
    row.errors += errors
    row.licenses += [request] if request is not None else []
    if len(row.licenses) > MOST_LICENSES:
        message = f"A reservation holds at most {MOST_LICENSES} licenses."
        row.errors[:] = [LineError(line, "", "TOO_MANY_LINES", message)]
