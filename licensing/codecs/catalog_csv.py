"""The catalog as a CSV file: strict, size-limited, every error with its line and column. Pure.

Columns `tag, kind, display_name, feature_name, license_type, enforcement_type, export_status, pids`; optional
`higher` (the tag of the license that can stand in) and `billing`; `confidence` and `source` are allowed and not read.
"""

import csv
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, Final

from licensing.states import Billing, LicenseType

REQUIRED: Final = (
    "tag",
    "kind",
    "display_name",
    "feature_name",
    "license_type",
    "enforcement_type",
    "export_status",
    "pids",
)
OPTIONAL: Final = ("higher", "billing")
UNREAD: Final = ("confidence", "source")
LIMITS: Final = {
    "tag": 255,
    "kind": 100,
    "display_name": 255,
    "feature_name": 255,
    "enforcement_type": 100,
    "export_status": 100,
    "pids": 4000,
    "higher": 255,
    "confidence": 1000,
    "source": 4000,
}
DEFAULT_LIMIT: Final = 100
MOST_ROWS: Final = 100_000
MOST_ERRORS: Final = 100


class Kind(StrEnum):
    SOFTWARE = "software_id"
    ENTITLEMENT = "entitlement"


@dataclass(frozen=True, slots=True)
class RowError:
    """What is wrong where. `line` counts from 1, the header being line 1; `column` is empty for the row as a whole."""

    line: int
    column: str
    code: str
    message: str

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class CatalogRow:
    """One tag. `higher` and `billing` are None where the file has no such column, so that they stay as they are."""

    line: int
    tag: str
    kind: Kind
    display_name: str
    feature_name: str
    license_type: LicenseType
    enforcement: str
    export_restricted: bool
    product_ids: str
    higher: str | None
    billing: Billing | None


class _Refused(Exception):
    def __init__(self, column: str, code: str, message: str) -> None:
        super().__init__(message)
        self.column, self.code, self.message = column, code, message


def read_catalog(lines: Iterable[str]) -> tuple[list[CatalogRow], list[RowError]]:
    """Rows and errors of a CSV text given line by line; at most 100 errors are listed."""
    rows: list[CatalogRow] = []
    errors: list[RowError] = []
    seen: dict[str, int] = {}
    reader = csv.reader(lines, strict=True)
    try:
        header = _read_header(next(reader, []))
        for line, cells in _numbered(reader):
            if len(rows) >= MOST_ROWS:
                raise _Refused("", "TOO_LARGE", f"A catalog file holds at most {MOST_ROWS} rows.")
            try:
                row = _read_row(line, header, cells)
                if row.tag in seen:
                    raise _Refused("tag", "DUPLICATE", f"This tag is already on line {seen[row.tag]}.")
            except _Refused as refused:
                errors.append(RowError(line, refused.column, refused.code, refused.message))
                if len(errors) >= MOST_ERRORS:
                    break
            else:
                seen[row.tag] = line
                rows.append(row)
    except _Refused as refused:
        errors.append(RowError(max(reader.line_num, 1), refused.column, refused.code, refused.message))
    except csv.Error as error:
        errors.append(RowError(max(reader.line_num, 1), "", "MALFORMED", f"This is not CSV: {error}."))
    return rows, errors


def _numbered(reader: Any) -> Iterator[tuple[int, list[str]]]:
    """Rows with the line they begin on; a quoted cell may hold line breaks. Blank lines are passed over."""
    begin = reader.line_num + 1
    for cells in reader:
        if cells:
            yield begin, cells
        begin = reader.line_num + 1


def _read_header(cells: list[str]) -> list[str]:
    header = [cell.strip().lstrip("\ufeff") for cell in cells]
    if not header:
        raise _Refused("", "MALFORMED", "The file is empty: its first line names the columns.")
    for name in header:
        if name not in (*REQUIRED, *OPTIONAL, *UNREAD):
            raise _Refused(name[:100], "UNKNOWN_COLUMN", f'There is no column "{name[:100]}" in a catalog.')
        if header.count(name) > 1:
            raise _Refused(name, "DUPLICATE", f'The column "{name}" is there twice.')
    if missing := [name for name in REQUIRED if name not in header]:
        raise _Refused(missing[0], "MISSING_COLUMN", f"The file lacks the columns {', '.join(missing)}.")
    return header


def _read_row(line: int, header: list[str], cells: list[str]) -> CatalogRow:
    if len(cells) != len(header):
        raise _Refused("", "MALFORMED", f"{len(cells)} cells, but the header names {len(header)} columns.")
    values = {name: _clean(name, cell) for name, cell in zip(header, cells, strict=True)}
    tag = values["tag"]
    if not tag or any(character.isspace() for character in tag):
        raise _Refused("tag", "TAG_INVALID", "A tag is needed, without white space.")
    kind = _read_kind(values["kind"])
    higher = values.get("higher")
    if higher and kind is Kind.SOFTWARE:
        raise _Refused("higher", "HIGHER_INVALID", "Software has no higher license.")
    if higher == tag:
        raise _Refused("higher", "CYCLE", "A license cannot be higher than itself.")
    return CatalogRow(
        line=line,
        tag=tag,
        kind=kind,
        display_name=values["display_name"] or tag,
        feature_name=values["feature_name"],
        license_type=_read_license_type(values["license_type"]),
        enforcement=values["enforcement_type"],
        export_restricted=_read_export_status(values["export_status"]),
        product_ids=" ".join(values["pids"].split()),
        higher=higher,
        billing=_read_billing(values),
    )


def _clean(name: str, cell: str) -> str:
    cleaned = cell.strip()
    if len(cleaned) > LIMITS.get(name, DEFAULT_LIMIT):
        raise _Refused(name, "TOO_LONG", f"At most {LIMITS.get(name, DEFAULT_LIMIT)} characters.")
    if name not in UNREAD and not cleaned.isprintable():
        raise _Refused(name, "FORBIDDEN_CHARACTER", "Line breaks, NUL and other control characters are not allowed.")
    return cleaned


def _read_kind(text: str) -> Kind:
    """`entitlement` may be followed by a remark in parentheses."""
    if text == Kind.SOFTWARE:
        return Kind.SOFTWARE
    if text == Kind.ENTITLEMENT or text.startswith("entitlement ("):
        return Kind.ENTITLEMENT
    raise _Refused("kind", "KIND_INVALID", "The kind is software_id or entitlement.")


def _read_license_type(text: str) -> LicenseType:
    try:
        return LicenseType(text.lower() or LicenseType.PERPETUAL)
    except ValueError:
        kinds = ", ".join(LicenseType)
        raise _Refused("license_type", "LICENSE_TYPE_INVALID", f"A license type is one of {kinds}.") from None


def _read_export_status(text: str) -> bool:
    upper = text.upper()
    if upper.startswith("RESTRICTED"):
        return True
    if upper in ("", "NOT RESTRICTED"):
        return False
    raise _Refused("export_status", "EXPORT_STATUS_INVALID", "The export status is RESTRICTED or NOT RESTRICTED.")


def _read_billing(values: Mapping[str, str]) -> Billing | None:
    if "billing" not in values:
        return None
    try:
        return Billing(values["billing"].upper() or Billing.PREPAID)
    except ValueError:
        raise _Refused("billing", "BILLING_INVALID", "Billing is PREPAID or USAGE.") from None
