"""The CSV of the catalog, without a database."""

import pytest

from licensing.codecs.catalog_csv import Kind, read_catalog
from licensing.states import Billing, LicenseType

COLUMNS = "tag,kind,display_name,feature_name,license_type,enforcement_type,export_status,pids"


def read(*lines: str, columns: str = COLUMNS):
    return read_catalog("".join(f"{line}\n" for line in (columns, *lines)).splitlines(keepends=True))


def test_a_row_is_read_with_its_line_and_normalised_words():
    (row,), errors = read("T1,entitlement,One,one, Perpetual ,NOT ENFORCED,NOT RESTRICTED,A-1  B-2")
    assert errors == []
    assert (row.line, row.tag, row.kind, row.display_name) == (2, "T1", Kind.ENTITLEMENT, "One")
    assert (row.license_type, row.enforcement, row.export_restricted) == (LicenseType.PERPETUAL, "NOT ENFORCED", False)
    assert (row.product_ids, row.higher, row.billing) == ("A-1 B-2", None, None)


def test_what_is_missing_gets_its_default():
    (row,), errors = read("T1,entitlement,,,,,,")
    assert errors == []
    assert (row.display_name, row.license_type, row.export_restricted) == ("T1", LicenseType.PERPETUAL, False)


def test_an_export_status_that_begins_with_restricted_restricts():
    (row,), _ = read("T1,entitlement,One,,SUBSCRIPTION,ENFORCED (enforced=true),RESTRICTED (inferred from HSEC),")
    assert (row.export_restricted, row.license_type) == (True, LicenseType.SUBSCRIPTION)


def test_a_kind_may_carry_a_remark_in_parentheses():
    (row,), _ = read('HCUC,"entitlement (short name only, no uuid published)",,,,,,')
    assert row.kind is Kind.ENTITLEMENT


def test_optional_columns_are_read_where_they_are_there():
    rows, errors = read(
        "A,entitlement,A,,,,,,,USAGE", "B,entitlement,B,,,,,,A,", columns=f"\ufeff{COLUMNS},higher,billing"
    )
    assert errors == []
    assert [(row.higher, row.billing) for row in rows] == [("", Billing.USAGE), ("A", Billing.PREPAID)]


def test_columns_that_are_not_read_are_allowed():
    rows, errors = read("A,entitlement,A,,,,,,high,somewhere", columns=f"{COLUMNS},confidence,source")
    assert (len(rows), errors) == (1, [])


@pytest.mark.parametrize(
    ("line", "column", "code"),
    [
        (",entitlement,A,,,,,", "tag", "TAG_INVALID"),
        ("a b,entitlement,A,,,,,", "tag", "TAG_INVALID"),
        ("A\x00,entitlement,A,,,,,", "tag", "FORBIDDEN_CHARACTER"),
        (f"{'A' * 256},entitlement,A,,,,,", "tag", "TOO_LONG"),
        ("A,hardware,A,,,,,", "kind", "KIND_INVALID"),
        ('A,entitlement,"two\nlines",,,,,', "display_name", "FORBIDDEN_CHARACTER"),
        ("A,entitlement,A,,forever,,,", "license_type", "LICENSE_TYPE_INVALID"),
        ("A,entitlement,A,,,,maybe,", "export_status", "EXPORT_STATUS_INVALID"),
        ("A,entitlement,A,,,", "", "MALFORMED"),
        ("A,entitlement,A,,,,,,", "", "MALFORMED"),
        ('A,entitlement,"A"B,,,,,', "", "MALFORMED"),
        ('A,entitlement,"A,,,,,', "", "MALFORMED"),
    ],
)
def test_a_bad_cell_is_told_by_line_column_and_code(line, column, code):
    _, errors = read("GOOD,entitlement,Good,,,,,", line)
    assert [(error.column, error.code) for error in errors] == [(column, code)]
    assert errors[0].line >= 3


@pytest.mark.parametrize(
    ("line", "column", "code"),
    [
        ("A,entitlement,A,,,,,,A,", "higher", "CYCLE"),
        ("A,software_id,A,,,,,,B,", "higher", "HIGHER_INVALID"),
        ("A,entitlement,A,,,,,,,FREE", "billing", "BILLING_INVALID"),
    ],
)
def test_bad_optional_columns_are_told_too(line, column, code):
    _, (error,) = read(line, columns=f"{COLUMNS},higher,billing")
    assert (error.line, error.column, error.code) == (2, column, code)


def test_every_bad_row_is_listed_and_a_repeated_tag_names_the_first():
    rows, errors = read("A,entitlement,,,,,,", "B,thing,,,,,,", "A,entitlement,,,,,,")
    assert [row.tag for row in rows] == ["A"]
    assert [(error.line, error.code) for error in errors] == [(3, "KIND_INVALID"), (4, "DUPLICATE")]
    assert "line 2" in errors[1].message


@pytest.mark.parametrize(
    ("columns", "code"),
    [
        ("tag,kind", "MISSING_COLUMN"),
        (f"{COLUMNS},colour", "UNKNOWN_COLUMN"),
        (f"{COLUMNS},tag", "DUPLICATE"),
        ("", "MALFORMED"),
    ],
)
def test_a_wrong_header_is_the_only_error(columns, code):
    rows, errors = read("A,entitlement,,,,,,", columns=columns)
    assert rows == []
    assert [(error.line, error.code) for error in errors] == [(1, code)]


def test_an_error_after_a_cell_of_many_lines_names_the_line_the_row_begins_on():
    _, errors = read('A,entitlement,"x\n\n\ny",,,,,', "B,thing,,,,,,")
    assert [error.line for error in errors] == [2, 6]


def test_a_flood_of_errors_is_cut_at_a_hundred():
    _, errors = read(*["x,thing,,,,,,"] * 500)
    assert len(errors) == 100
