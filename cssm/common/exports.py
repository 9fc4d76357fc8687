"""Tables as files: the rows and columns on show, read in chunks, safe to open in a spreadsheet.

Nothing here holds more than one chunk of rows, however long the table is.
"""

import csv
import json
from collections.abc import Callable, Iterable, Iterator
from datetime import date, datetime
from decimal import Decimal
from tempfile import TemporaryFile
from typing import Any, Final

import xlsxwriter
from django.db.models import QuerySet
from django.http import FileResponse, HttpResponseBase, StreamingHttpResponse
from django.utils.functional import Promise
from django.utils.timezone import is_aware

from cssm.common.cells import read_cells
from cssm.common.tables import Table

CHUNK_ROWS: Final = 2000
# Text is sent in pieces of about this size: a piece for every row would cost more than the row.
PIECE_LETTERS: Final = 32_768
XLSX_MAX_ROWS: Final = 1_048_576
XLSX_MAX_CELL: Final = 32_767
# A cell that begins with one of these is taken as a formula by spreadsheets (OWASP "CSV Injection").
FORMULA_STARTS: Final = ("=", "+", "-", "@", "\t", "\r")
BOM: Final = "\ufeff"


def iterate_rows(table: Table) -> Iterator[list[Any]]:
    """The cells of every row, as plain values, in the table's order."""
    data = table.data.data
    records = data.iterator(chunk_size=CHUNK_ROWS) if isinstance(data, QuerySet) else data
    for cells in read_cells(table, records, [column.name for column in table.export_columns]):
        yield [_plain(cell) for cell in cells]


def headings(table: Table) -> list[str]:
    return [str(column.header) for column in table.export_columns]


def _plain(value: Any) -> Any:
    """A number, text, or None for nothing: times in ISO 8601, UTC with a Z."""
    kind = type(value)
    if kind is str or kind is int:
        return value
    if value is None:
        return None
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime):
        return value.isoformat(timespec="seconds").replace("+00:00", "Z") if is_aware(value) else value.isoformat()
    if isinstance(value, date):
        return value.isoformat()
    return value if isinstance(value, int | float | Decimal) else str(value)


def defuse(value: Any) -> Any:
    """Text that a spreadsheet would run as a formula gets an apostrophe in front; numbers stay numbers."""
    return f"'{value}" if isinstance(value, str | Promise) and str(value).startswith(FORMULA_STARTS) else value


class _Echo:
    """A file that hands every line back, for streaming."""

    def write(self, value: str) -> str:
        return value


def _csv_lines(table: Table) -> Iterator[str]:
    writer = csv.writer(_Echo())
    yield BOM + str(writer.writerow([defuse(title) for title in headings(table)]))
    for row in iterate_rows(table):
        yield str(writer.writerow([defuse(cell) for cell in row]))


def _in_pieces(lines: Iterable[str]) -> Iterator[str]:
    waiting: list[str] = []
    letters = 0
    for line in lines:
        waiting.append(line)
        letters += len(line)
        if letters >= PIECE_LETTERS:
            yield "".join(waiting)
            waiting, letters = [], 0
    yield "".join(waiting)


def export_csv(table: Table, filename: str) -> HttpResponseBase:
    """Streamed, UTF-8 with a byte order mark, which is how spreadsheets recognise it."""
    response = StreamingHttpResponse(_in_pieces(_csv_lines(table)), content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="{filename}.csv"'
    return response


def json_rows(table: Table) -> Iterator[str]:
    """The rows as a JSON array, a line for each; members are named after the columns, as the API names things."""
    names = [camel_case(column.name) for column in table.export_columns]
    encode = json.JSONEncoder(ensure_ascii=False, default=str).encode
    before = "["
    for row in iterate_rows(table):
        yield f"{before}\n{encode(dict(zip(names, row, strict=True)))}"
        before = ","
    yield "[]" if before == "[" else "\n]"


def export_json(table: Table, filename: str) -> HttpResponseBase:
    """Streamed; one array of objects."""
    response = StreamingHttpResponse(_in_pieces(json_rows(table)), content_type="application/json")
    response["Content-Disposition"] = f'attachment; filename="{filename}.json"'
    return response


def camel_case(name: str) -> str:
    """in_use → inUse"""
    first, *others = name.split("_")
    return first + "".join(other.capitalize() for other in others)


def export_xlsx(table: Table, filename: str) -> HttpResponseBase:
    """Written row by row to a temporary file; goes on in a further sheet where one is full."""
    stream = TemporaryFile()  # noqa: SIM115  the response closes it
    book = xlsxwriter.Workbook(
        stream, {"constant_memory": True, "strings_to_formulas": False, "strings_to_urls": False}
    )
    bold = book.add_format({"bold": True})
    titles = headings(table)
    sheet, line = None, XLSX_MAX_ROWS
    for row in iterate_rows(table):
        if line >= XLSX_MAX_ROWS:
            sheet, line = _new_sheet(book, titles, bold), 1
        for position, cell in enumerate(row):
            _write_cell(sheet, line, position, cell)
        line += 1
    if sheet is None:
        _new_sheet(book, titles, bold)
    book.close()
    stream.seek(0)
    return FileResponse(
        stream,
        as_attachment=True,
        filename=f"{filename}.xlsx",
        content_type="application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    )


def _new_sheet(book: Any, titles: list[str], bold: Any) -> Any:
    sheet = book.add_worksheet()
    sheet.freeze_panes(1, 0)
    for position, title in enumerate(titles):
        sheet.write_string(0, position, title, bold)
    return sheet


def _write_cell(sheet: Any, line: int, position: int, cell: Any) -> None:
    # A spreadsheet keeps 15 digits of a number; longer ones are identifiers and stay text.
    if cell is None:
        return
    if isinstance(cell, int | float | Decimal) and -(10**15) < cell < 10**15:
        sheet.write_number(line, position, cell)
    else:
        sheet.write_string(line, position, str(cell)[:XLSX_MAX_CELL])


EXPORTS: Final[dict[str, Callable[[Table, str], HttpResponseBase]]] = {
    "csv": export_csv,
    "xlsx": export_xlsx,
    "json": export_json,
}
