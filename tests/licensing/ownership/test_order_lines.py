"""The lines of an order, without a database."""

from datetime import UTC, datetime

import pytest

from licensing.codecs.order_lines import check_term, read_lines
from licensing.states import LicenseType

START = datetime(2026, 3, 2, tzinfo=UTC)


def read(**fields):
    return read_lines([{"entitlementTag": "A", "quantity": 1, **fields}])


def test_a_line_keeps_what_it_leaves_out_as_left_out():
    (line,), errors = read()
    assert errors == []
    assert (line.tag, line.quantity, line.license_type, line.start, line.end, line.subscription_id) == (
        "A", 1, None, None, None, "",
    )  # fmt: skip


@pytest.mark.parametrize("quantity", [5, "5", 5.0, "0005"])
def test_a_quantity_is_a_number_or_its_digits(quantity):
    (line,), _ = read(quantity=quantity)
    assert line.quantity == 5


@pytest.mark.parametrize(
    "quantity", [0, -1, 10**9 + 1, 1.5, float("nan"), float("inf"), True, "", "1.5", "١", "-3", None, [], {}, 10**400]
)
def test_other_quantities_are_refused(quantity):
    lines, (error,) = read(quantity=quantity)
    assert (lines, error.line, error.field) == ([], 1, "quantity")


@pytest.mark.parametrize("name", ["PERPETUAL", "perpetual", "Perpetual"])
def test_license_types_are_read_in_any_case(name):
    (line,), _ = read(licenseType=name)
    assert line.license_type is LicenseType.PERPETUAL


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-03-02", datetime(2026, 3, 2, tzinfo=UTC)),
        ("2026-03-02T01:30:00+01:00", datetime(2026, 3, 2, 0, 30, tzinfo=UTC)),
        ("2026-03-02T00:30Z", datetime(2026, 3, 2, 0, 30, tzinfo=UTC)),
        ("2026-03-02t00:30:00.25z", datetime(2026, 3, 2, 0, 30, 0, 250000, tzinfo=UTC)),
    ],
)
def test_dates_are_iso_and_end_up_in_utc(text, moment):
    (line,), errors = read(startDate=text)
    assert errors == []
    assert line.start == moment


@pytest.mark.parametrize(
    "text",
    ["2026-03-02T00:30:00", "2026-13-01", "02.03.2026", "20260302", "2026-W10-1", "tomorrow", "1969-12-31",
     "9999-12-31", "9999-12-31T23:59:59-23:00", "0001-01-01T00:00:00+23:00", "２０２６-03-02"],
)  # fmt: skip
def test_other_dates_are_refused(text):
    _, (error,) = read(endDate=text)
    assert (error.field, error.code) == ("endDate", "DATE_INVALID")


@pytest.mark.parametrize(
    ("fields", "field", "code"),
    [
        ({"entitlementTag": None}, "entitlementTag", "MISSING_FIELD"),
        ({"entitlementTag": 5}, "entitlementTag", "WRONG_TYPE"),
        ({"entitlementTag": "A\x00"}, "entitlementTag", "FORBIDDEN_CHARACTER"),
        ({"entitlementTag": "A\ud800"}, "entitlementTag", "FORBIDDEN_CHARACTER"),
        ({"entitlementTag": "A" * 256}, "entitlementTag", "TOO_LONG"),
        ({"licenseType": "FOREVER"}, "licenseType", "LICENSE_TYPE_INVALID"),
        ({"startDate": 20260302}, "startDate", "WRONG_TYPE"),
        ({"subscriptionId": "S" * 101}, "subscriptionId", "TOO_LONG"),
        ({"colour": "red"}, "colour", "UNKNOWN_FIELD"),
        ({5: "red"}, "5", "UNKNOWN_FIELD"),
    ],
)
def test_a_bad_field_is_told_by_name_and_code(fields, field, code):
    _, (error,) = read(**{str(k): v for k, v in fields.items()}) if 5 not in fields else read_lines([fields])
    assert (error.line, error.field, error.code) == (1, field, code)


@pytest.mark.parametrize("lines", [None, [], {}, "A", 5])
def test_an_order_needs_a_list_of_lines(lines):
    assert read_lines(lines)[1][0].code == "WRONG_TYPE"


def test_every_bad_line_is_listed_by_its_number():
    good = {"entitlementTag": "A", "quantity": 1}
    _, errors = read_lines([good, {}, good, "text"])
    assert [(error.line, error.code) for error in errors] == [(2, "MISSING_FIELD"), (4, "WRONG_TYPE")]
    assert read_lines([good] * 1001)[1][0].code == "TOO_LARGE"


@pytest.mark.parametrize(
    ("license_type", "end", "code"),
    [
        (LicenseType.PERPETUAL, datetime(2027, 1, 1, tzinfo=UTC), "END_NOT_ALLOWED"),
        (LicenseType.TERM, START, "END_BEFORE_START"),
    ],
)
def test_dates_must_fit_the_type(license_type, end, code):
    wrong = check_term(license_type, START, end)
    assert wrong is not None
    assert wrong[0] == code


def test_a_term_that_ends_after_it_starts_is_right():
    assert check_term(LicenseType.TERM, START, datetime(2026, 3, 3, tzinfo=UTC)) is None
    assert check_term(LicenseType.PERPETUAL, START, None) is None
