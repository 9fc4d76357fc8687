"""Classic licenses of many products as a CSV file, from a spreadsheet or by hand. Pure.

The columns: `udiPid`, `udiSerialNumber`, `entitlementTag`, `quantity`, and optionally `softwareTag`, `conversionType`
(`TRUST_BASED` where it is empty) and `payload` (a license file of one line). The lines of a product are one conversion.
"""

from dataclasses import dataclass, field
from io import TextIOWrapper
from typing import IO, Final

from licensing.codecs.conversion import MOST_LINES, WantedLine, find_twice, make_line
from licensing.codecs.csv_rows import Columns, group_rows, read_file, read_rows, write_rows
from licensing.codecs.device_data import MAX_COUNT
from licensing.codecs.transfer_lines import LineError
from licensing.states.conversions import ConversionType

COLUMNS: Final = (
    "udiPid", "udiSerialNumber", "softwareTag", "conversionType", "entitlementTag", "quantity", "payload",
)  # fmt: skip
MOST_ROWS: Final = 20_000
MOST_PRODUCTS: Final = 1_000
EXAMPLE: Final = (
    ("C9300-24UX", "FCW2134L0RN", "", "TRUST_BASED", "regid.2017-03.com.example.ADVANTAGE,1.0_1a2b", 1, ""),
    ("C9300-24UX", "FCW2134L0RN", "", "LICENSE_FILE", "regid.2017-03.com.example.ESSENTIALS,1.0_3c4d", 2,
     "INCREMENT essentials 1.0 permanent 2 HOSTID=FCW2134L0RN"),
    ("C9300-48UXM", "FCW2130G0NH", "", "", "regid.2017-03.com.example.ADVANTAGE,1.0_1a2b", 1, ""),
)  # fmt: skip
_COLUMNS: Final = Columns(
    shown=COLUMNS,
    known=COLUMNS,
    required=(("udiPid",), ("udiSerialNumber",), ("entitlementTag",), ("quantity",)),
)
_PART_LIMIT: Final = 128
_TAG_LIMIT: Final = 255
_MOST_ERRORS: Final = 5


@dataclass(slots=True)
class ProductRow:
    """A product with its lines; `errors` are those of its rows, of which then none is converted."""

    line: int
    udi_pid: str
    udi_serial_number: str
    software_tag: str = ""
    lines: list[WantedLine] = field(default_factory=list)
    errors: list[LineError] = field(default_factory=list)

    @property
    def udi(self) -> str:
        return f"{self.udi_pid}:{self.udi_serial_number}"

    @property
    def message(self) -> str:
        """What is wrong with it, in words; empty where nothing is."""
        return " ".join(f"Line {error.line}: {error.message}" for error in self.errors[:_MOST_ERRORS])


def read_products(file: IO[bytes]) -> tuple[list[ProductRow], list[LineError]]:
    """The products of a seekable file in their order, each once, and what is wrong with the file as a whole."""
    too_many = (
        f"These are about {{}} lines; at most {MOST_PRODUCTS:,} products and {MOST_ROWS:,} lines are taken at once."
        " Split them."
    )
    return read_file(file, _read, too_many=too_many)


def write_example() -> str:
    """A CSV text that shows the columns."""
    return write_rows(COLUMNS, EXAMPLE)


def _read(text: TextIOWrapper) -> tuple[list[ProductRow], list[LineError]]:
    rows = group_rows(
        read_rows(text, _COLUMNS),
        add=_add,
        broken=lambda error: ProductRow(error.line, "", "", errors=[error]),
        most_rows=MOST_ROWS,
        most_groups=MOST_PRODUCTS,
    )
    for row in rows:
        if (twice := find_twice(row.lines)) is not None:
            message = f"{row.lines[twice].tag} stands twice for this product, and would have two counts."
            row.errors.append(LineError(row.line, "entitlementTag", "DUPLICATE", message))
    nothing = LineError(1, "", "NOTHING_TO_CONVERT", "Below the column names there is no line.")
    return rows, [] if rows else [nothing]


def _add(found: dict[str, ProductRow], line: int, cells: dict[str, str]) -> None:
    values = dict.fromkeys(COLUMNS, "") | cells
    pid, serial_number = values["udiPid"], values["udiSerialNumber"]
    row = found.setdefault(f"{pid}:{serial_number}", ProductRow(line, pid, serial_number, values["softwareTag"]))
    wrong = [LineError(line, field, code, message) for field, code, message in _check(values)]
    row.errors += wrong
    if wrong:
        return
    if len(row.lines) >= MOST_LINES:
        row.errors[:] = [LineError(line, "", "TOO_MANY_LINES", f"A product has at most {MOST_LINES:,} lines.")]
        return
    kind = values["conversionType"].upper() or ConversionType.TRUST_BASED
    row.lines.append(make_line(kind, values["entitlementTag"], int(values["quantity"]), values["payload"]))


def _check(values: dict[str, str]) -> list[tuple[str, str, str]]:
    wrong = []
    for name in ("udiPid", "udiSerialNumber"):
        if not values[name] or len(values[name]) > _PART_LIMIT or not values[name].isascii():
            wrong.append((name, "UDI_INVALID", f"{name} has 1 to {_PART_LIMIT} ASCII characters."))
    if ":" in values["udiSerialNumber"]:
        wrong.append(("udiSerialNumber", "UDI_INVALID", "A serial number holds no colon."))
    if len(values["softwareTag"]) > _TAG_LIMIT:
        wrong.append(("softwareTag", "TOO_LONG", f"softwareTag has at most {_TAG_LIMIT} characters."))
    if values["conversionType"].upper() not in ("", *ConversionType):
        wrong.append(("conversionType", "TYPE_UNKNOWN", f"conversionType is {' or '.join(ConversionType)}."))
    if not values["entitlementTag"] or len(values["entitlementTag"]) > _TAG_LIMIT:
        wrong.append(("entitlementTag", "TAG_INVALID", "The entitlement tag is missing, or too long."))
    quantity = values["quantity"]
    if not (quantity.isascii() and quantity.isdecimal() and len(quantity) <= 10 and 1 <= int(quantity) <= MAX_COUNT):
        wrong.append(("quantity", "QUANTITY_INVALID", f"quantity is a whole number from 1 to {MAX_COUNT:,}."))
    return wrong
