"""CSV files from a spreadsheet or by hand: their encoding found out, their rows by column. Pure.

UTF-8 (with or without a byte order mark), UTF-16 or Windows-1252; cells separated by commas, semicolons or tabs; the
columns in any order and case. Cells are data whatever they begin with: an apostrophe that keeps a spreadsheet from
running one is taken off again.
"""

import codecs
import csv
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from io import StringIO, TextIOWrapper
from typing import IO, Any, Final, TypeVar

from licensing.codecs.transfer_lines import LineError

T = TypeVar("T")
Rows = Iterable[tuple[int, dict[str, str] | LineError]]
"""The line that each begins on, and its cells by column or what is wrong with it."""

MOST_CELL: Final = 4_000
FORMULA_STARTS: Final = ("=", "+", "-", "@", "\t", "\r")
_CHUNK: Final = 65_536
_BOMS: Final = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
# What no text holds: controls beside tab and line ends; of Windows-1252 also the five bytes that mean nothing.
_CONTROL: Final = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_NOT_1252: Final = re.compile(rb"[\x81\x8d\x8f\x90\x9d]")


class CsvRefused(Exception):
    """The file as a whole cannot be read, or not from this line on."""

    def __init__(self, line: int, column: str, code: str, message: str) -> None:
        super().__init__(message)
        self.error = LineError(line, column, code, message)


class TooManyLines(Exception):
    """There are more lines than are taken at once."""


@dataclass(frozen=True, slots=True)
class Columns:
    """`shown` is how they are called in messages; of each group in `required` one must be there."""

    shown: Sequence[str]
    known: Sequence[str]
    required: Sequence[Sequence[str]]
    unread: Sequence[str] = ()

    def find(self, cell: str) -> str | None:
        name = re.sub(r"[\s_-]+", "", cell).lower()
        return next((known for known in (*self.known, *self.unread) if known.lower() == name), None)


def read_file(
    file: IO[bytes], read: Callable[[TextIOWrapper], tuple[list[T], list[LineError]]], *, too_many: str
) -> tuple[list[T], list[LineError]]:
    """What `read` makes of the text of a seekable file; nothing, and why, where the file as a whole is refused.

    `read` may raise `CsvRefused`, and `TooManyLines`: `too_many` is what is said then, with the lines at its `{}`.
    """
    try:
        text = open_text(file)
        try:
            return read(text)
        finally:
            text.detach()  # or it would close the caller's file
    except TooManyLines:
        error = LineError(1, "", "TOO_MANY_LINES", too_many.format(f"{_count_lines(file):,}"))
    except CsvRefused as refused:
        error = refused.error
    except UnicodeDecodeError:
        error = LineError(1, "", "ENCODING_UNKNOWN", "The file begins as UTF-16, but is cut off or broken.")
    return [], [error]


def group_rows(
    rows: Rows,
    *,
    add: Callable[[dict[str, T], int, dict[str, str]], None],
    broken: Callable[[LineError], T],
    most_rows: int,
    most_groups: int,
) -> list[T]:
    """Rows that belong together, in the order of the first of each.

    `add(found, line, values)` puts a row to those of its key; `broken` makes a group of a row that cannot be read, so
    that the others can go on. Raises `TooManyLines`.
    """
    found: dict[str, T] = {}
    for count, (line, values) in enumerate(rows, start=1):
        if isinstance(values, LineError):
            found[f"line {line}"] = broken(values)
        else:
            add(found, line, values)
        if count > most_rows or len(found) > most_groups:
            raise TooManyLines
    return list(found.values())


def write_rows(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A CSV text with these column names; texts that a spreadsheet would run as a formula get an apostrophe."""
    out = StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(columns)
    writer.writerows([defuse(cell) for cell in row] for row in rows)
    return out.getvalue()


def open_text(file: IO[bytes]) -> TextIOWrapper:
    """The text of a seekable file from its beginning; `detach` it, or it closes the file. Raises `CsvRefused`."""
    encoding = _find_encoding(file)
    file.seek(0)
    return TextIOWrapper(file, encoding=encoding, newline="")


def _count_lines(file: IO[bytes]) -> int:
    return sum(chunk.count(b"\n") for _, chunk in _chunks(file))


def _find_encoding(file: IO[bytes]) -> str:
    file.seek(0)
    start = file.read(4)
    if start in (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE):
        raise CsvRefused(1, "", "ENCODING_UNKNOWN", "The file is UTF-32. Save it as UTF-8.")
    for mark, encoding in _BOMS:
        if start.startswith(mark):
            if encoding == "utf-8-sig":
                _check_utf8(file, lambda line: _broken(line, "UTF-8, as its first bytes say,"))
            return encoding
    if len(start) == 4 and (start[1] == start[3] == 0 or start[0] == start[2] == 0):
        return "utf-16-le" if start[0] else "utf-16-be"
    if _check_utf8(file, None):
        return "utf-8"
    _check_1252(file)
    return "cp1252"


def _chunks(file: IO[bytes]) -> Iterator[tuple[int, bytes]]:
    """Pieces with the line that each begins on."""
    file.seek(0)
    line = 1
    while chunk := file.read(_CHUNK):
        yield line, chunk
        line += chunk.count(b"\n")


def _check_utf8(file: IO[bytes], refuse: Callable[[int], CsvRefused] | None) -> bool:
    decoder, line = codecs.getincrementaldecoder("utf-8")(), 1
    try:
        for line, chunk in _chunks(file):
            decoder.decode(chunk)
            if found := _CONTROL.search(chunk):
                raise _broken(line + chunk.count(b"\n", 0, found.start()), "text")
        decoder.decode(b"", final=True)
    except UnicodeDecodeError as error:
        if refuse is not None:
            raise refuse(line + error.object.count(b"\n", 0, error.start)) from None
        return False
    return True


def _check_1252(file: IO[bytes]) -> None:
    for line, chunk in _chunks(file):
        if found := _NOT_1252.search(chunk) or _CONTROL.search(chunk):
            raise _broken(line + chunk.count(b"\n", 0, found.start()), "UTF-8, UTF-16 or Windows-1252")


def _broken(line: int, what: str) -> CsvRefused:
    return CsvRefused(line, "", "ENCODING_UNKNOWN", f"The file is not {what}. Save it as CSV in UTF-8.")


def read_rows(text: TextIOWrapper, columns: Columns) -> Iterator[tuple[int, dict[str, str] | LineError]]:
    """The rows by column, or what is wrong with them, with the line that each begins on. Blank ones are left out.

    Raises `CsvRefused` for the header and for what is no CSV.
    """
    lines = _limited(text)
    first = next(lines, "")
    skipped = 0
    if re.fullmatch(r"sep=.\s*", first.lower()):
        first, skipped = next(lines, ""), 1
    delimiter = max(",;\t", key=first.count)
    reader = csv.reader(_chain(first, lines), delimiter=delimiter, strict=True)
    try:
        header = _read_header(next(reader, []), skipped + 1, columns)
        begin = reader.line_num + skipped + 1
        for cells in reader:
            if any(cell.strip() for cell in cells):
                yield begin, _read_cells(begin, header, cells, columns)
            begin = reader.line_num + skipped + 1
    except csv.Error as error:
        raise CsvRefused(reader.line_num + skipped, "", "MALFORMED", f"This is not CSV: {error}.") from None


def _limited(text: TextIOWrapper) -> Iterator[str]:
    """Lines; one that never ends is given in pieces, which the reader then finds too long."""
    while piece := text.readline(4 * MOST_CELL):
        yield piece


def _chain(first: str, rest: Iterator[str]) -> Iterator[str]:
    if first:
        yield first
    yield from rest


def _read_header(cells: list[str], line: int, columns: Columns) -> list[str]:
    if not any(cell.strip() for cell in cells):
        raise CsvRefused(line, "", "MALFORMED", "The file is empty: its first line names the columns.")
    header = []
    for cell in cells:
        name = columns.find(cell)
        if name is None:
            known = ", ".join(columns.shown)
            raise CsvRefused(line, cell[:100], "UNKNOWN_COLUMN", f'There is no column "{cell[:100]}", only {known}.')
        if name in header:
            raise CsvRefused(line, name, "DUPLICATE", f'The column "{name}" is there twice.')
        header.append(name)
    missing = [group[0] for group in columns.required if not any(name in header for name in group)]
    if missing:
        raise CsvRefused(line, missing[0], "MISSING_COLUMN", f"The file lacks the columns {', '.join(missing)}.")
    return header


def _read_cells(line: int, header: list[str], cells: list[str], columns: Columns) -> dict[str, str] | LineError:
    if len(cells) != len(header):
        message = f"{len(cells)} cells, but the header names {len(header)} columns."
        return LineError(line, "", "MALFORMED", message)
    if any(len(cell) > MOST_CELL for cell in cells):
        return LineError(line, "", "TOO_LONG", f"A cell has at most {MOST_CELL} characters.")
    return {
        name: undefuse(cell.strip()) for name, cell in zip(header, cells, strict=True) if name not in columns.unread
    }


def defuse(cell: Any) -> Any:
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(FORMULA_STARTS) else cell


def undefuse(cell: str) -> str:
    return cell[1:] if cell.startswith("'") and cell[1:].startswith(FORMULA_STARTS) else cell
