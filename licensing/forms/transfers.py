"""What a person asks for when transferring licenses: a line per license and target, or a file of lines.

Lines are read by the codec that reads the API's and the file's, so that all three refuse the same with the same words.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from io import BytesIO
from typing import Any, Final, NamedTuple

from django import forms
from django.forms import BoundField

from cssm.common.errors import DomainError
from cssm.common.forms import PortalForm, choices_of
from licensing.codecs.transfer_csv import read_transfers
from licensing.codecs.transfer_lines import MOST_LINES, LineError, TransferRequest, read_line
from licensing.forms.files import pasted_rows, rows_file
from licensing.models import Pool
from licensing.states import LicenseType, Precedence

FIELD_OF: Final = {
    "quantity": "quantity",
    "licenseType": "license_type",
    "targetVirtualAccount": "target",
    "precedence": "precedence",
}
TYPES: Final = choices_of(((kind.name, kind.label) for kind in LicenseType), empty="Any")
PRECEDENCES: Final = choices_of((each.value, each.label) for each in Precedence)
# A choice of so many options in all is drawn as such; beyond, names are typed, with suggestions.
MOST_OPTIONS: Final = 3000
SUGGESTIONS: Final = "transfer-targets"


class Row(NamedTuple):
    """One line of the form, before it is filled in."""

    pool: int
    quantity: str = ""
    target: str = ""
    license_type: str = ""
    precedence: str = ""


class ShownRow(NamedTuple):
    number: int
    pool: Pool
    is_first: bool
    license_type: BoundField
    quantity: BoundField
    target: BoundField
    precedence: BoundField


class LinesForm(PortalForm):
    """A line per row: which of `pools` (by id, with live figures), how many, to which of `targets`.

    Lines without a quantity are passed over. `cleaned_data["requests"]` are `TransferRequest`s with the row's number.
    """

    all_to = forms.CharField(required=False, label="Transfer to", help_text="For every line that names no other.")

    def __init__(
        self,
        data: Mapping[str, Any] | None = None,
        *,
        pools: Mapping[int, Pool],
        targets: Sequence[str],
        rows: Iterable[Row] = (),
        focus: int = 1,
        **kwargs: Any,
    ) -> None:
        super().__init__(data, **kwargs)
        self.pools, self.targets, self.focus = pools, targets, focus
        self.rows = [row for row in (read_rows(data) if data else rows) if row.pool in pools]
        self.is_typed = len(self.rows) * len(targets) > MOST_OPTIONS
        self.fields["all_to"].widget = self._choose_target("", "Choose a Virtual Account")
        for number, row in enumerate(self.rows, start=1):
            self._add_row(number, row)

    @property
    def suggestions(self) -> Sequence[str]:
        return self.targets if self.is_typed else ()

    def shown_rows(self) -> list[ShownRow]:
        seen: set[int] = set()
        shown = []
        for number, row in enumerate(self.rows, start=1):
            fields = {name: self[f"{number}-{name}"] for name in ("license_type", "quantity", "target", "precedence")}
            shown.append(ShownRow(number, self.pools[row.pool], row.pool not in seen, **fields))
            seen.add(row.pool)
        return shown

    def clean(self) -> dict[str, Any]:
        values = self.cleaned_data
        requests = []
        for number, row in enumerate(self.rows, start=1):
            target = values.get(f"{number}-target") or values.get("all_to") or ""
            quantity = values.get(f"{number}-quantity", "")
            if not quantity:
                if values.get(f"{number}-target"):
                    self.add_error(f"{number}-quantity", "Give the quantity, or choose no Virtual Account here.")
                continue
            request, wrong = read_line(
                number,
                {
                    "entitlementTag": self.pools[row.pool].license.tag,
                    "licenseType": values.get(f"{number}-license_type", ""),
                    "quantity": quantity,
                    "targetVirtualAccount": target,
                    "precedence": values.get(f"{number}-precedence", ""),
                },
            )
            self.add_line_errors(wrong)
            requests += [request] if request is not None else []
        if not requests and not self.errors:
            raise forms.ValidationError("Give the quantity of at least one line.", code="NOTHING_TO_TRANSFER")
        return {**values, "requests": requests}

    def add_line_errors(self, errors: Iterable[LineError]) -> None:
        for error in errors:
            name = f"{error.line}-{FIELD_OF.get(error.field, 'quantity')}"
            self.add_error(name if name in self.fields else None, forms.ValidationError(error.message, code=error.code))

    def add_error(self, field: str | None, error: Any) -> None:
        super().add_error(field, error)
        if field is None:
            return
        for other in self.fields.values() if len(self.errors) == 1 else ():
            other.widget.attrs.pop("autofocus", None)
        attrs = self.fields[field].widget.attrs
        attrs["class"] = f"{attrs.get('class', '')} is-invalid".strip()
        if len(self.errors) == 1:
            attrs["autofocus"] = "autofocus"

    def _add_row(self, number: int, row: Row) -> None:
        name = self.pools[row.pool].license.display_name
        self.initial = {**self.initial, **{f"{number}-{key}": value for key, value in row._asdict().items()}}
        self.fields[f"{number}-pool"] = forms.CharField(widget=forms.HiddenInput)
        self.fields[f"{number}-license_type"] = forms.CharField(
            required=False, widget=_select(TYPES, f"Type, line {number}: {name}")
        )
        attrs = {"inputmode": "numeric", "size": "8", "class": "form-control", "autocomplete": "off"}
        attrs |= {"autofocus": "autofocus"} if number == self.focus else {}
        attrs["aria-label"] = f"Quantity, line {number}: {name}"
        self.fields[f"{number}-quantity"] = forms.CharField(required=False, widget=forms.TextInput(attrs=attrs))
        self.fields[f"{number}-target"] = forms.CharField(
            required=False,
            widget=self._choose_target(f"Transfer to, line {number}: {name}", "As chosen above"),
        )
        self.fields[f"{number}-precedence"] = forms.CharField(
            required=False, widget=_select(PRECEDENCES, f"Which first, line {number}: {name}")
        )

    def _choose_target(self, label: str, empty: str) -> forms.Widget:
        attrs = {"aria-label": label} if label else {}
        if not self.is_typed:
            return _select(choices_of(((name, name) for name in self.targets), empty=empty), label)
        attrs |= {"list": SUGGESTIONS, "class": "form-control", "autocomplete": "off", "size": "14"}
        return forms.TextInput(attrs=attrs)


class OneLicenseForm(PortalForm):
    """One line, in a dialog."""

    quantity = forms.CharField(widget=forms.TextInput(attrs={"inputmode": "numeric", "autofocus": True}))
    target = forms.ChoiceField(label="Transfer to")
    license_type = forms.ChoiceField(label="License type", choices=TYPES, required=False)
    precedence = forms.ChoiceField(
        label="Which first", choices=PRECEDENCES, required=False, help_text="Where licenses of several terms would do."
    )

    def __init__(self, *args: Any, targets: Sequence[str], tag: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.tag = tag
        choices = choices_of(((name, name) for name in targets), empty="Choose a Virtual Account")
        self.fields["target"] = forms.ChoiceField(label="Transfer to", choices=choices)

    def clean(self) -> dict[str, Any]:
        values = self.cleaned_data
        request, wrong = read_line(
            1,
            {
                "entitlementTag": self.tag,
                "licenseType": values.get("license_type", ""),
                "quantity": values.get("quantity", ""),
                "targetVirtualAccount": values.get("target", ""),
                "precedence": values.get("precedence", ""),
            },
        )
        self.add_line_errors(wrong)
        return {**values, "requests": [request] if request else []}

    def add_line_errors(self, errors: Iterable[LineError]) -> None:
        for error in errors:
            name = FIELD_OF.get(error.field, "quantity")
            if name not in self.errors:
                self.add_error(name, forms.ValidationError(error.message, code=error.code))


class FileForm(PortalForm):
    """Lines from a spreadsheet: a file, or its text. `line_errors` is what is wrong with them."""

    file = rows_file(
        "CSV file",
        f"At most {MOST_LINES} lines, separated by commas, semicolons or tabs, in UTF-8, UTF-16 or Windows-1252.",
    )
    text = pasted_rows("Or paste the lines here, the column names first")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.line_errors: list[LineError] = []

    def clean(self) -> dict[str, Any]:
        file, text = self.cleaned_data.get("file"), self.cleaned_data.get("text", "")
        if bool(file) == bool(text.strip()):
            if not self.errors:
                raise forms.ValidationError("Choose a file, or paste its lines: one of the two.", code="FILE_OR_TEXT")
            return self.cleaned_data
        # What is wrong with lines is told together with what the account says of the others.
        requests, errors = read_transfers(file.file if file else BytesIO(text.encode()))
        return {"requests": requests, "errors": errors}

    def add_line_errors(self, errors: Iterable[LineError]) -> None:
        self.line_errors += errors
        if self.line_errors:
            count = len(self.line_errors)
            message = "One line is wrong" if count == 1 else f"{count} lines are wrong"
            self.add_error(None, forms.ValidationError(f"{message}. Nothing was transferred.", code="LINES_WRONG"))


def line_errors_of(error: DomainError) -> list[LineError]:
    """The lines that a service refuses; empty where it refuses the whole."""
    return [
        LineError(each["line"], each["field"], each["code"], each["message"])
        for each in error.details.get("errors", [])
    ]


def rows_as_posted(requests: Sequence[TransferRequest], pools: Mapping[str, int]) -> dict[str, list[str]]:
    """What a `LinesForm` would post for these requests; `pools` by tag."""
    posted: dict[str, list[str]] = {}
    for number, request in enumerate(requests, start=1):
        posted |= {
            f"{number}-pool": [str(pools[request.tag])],
            f"{number}-license_type": [request.license_type.name if request.license_type else ""],
            f"{number}-quantity": [str(request.quantity)],
            f"{number}-target": [request.target],
            f"{number}-precedence": [request.precedence.value],
        }
    return posted


def read_rows(data: Mapping[str, Any]) -> list[Row]:
    """The rows of a `LinesForm` as they were posted."""
    numbers = sorted(int(name.removesuffix("-pool")) for name in data if re.fullmatch(r"[0-9]{1,4}-pool", name))
    return [
        Row(
            pool=whole(data[f"{number}-pool"]),
            **{name: data.get(f"{number}-{name}", "") for name in ("quantity", "target", "license_type", "precedence")},
        )
        for number in numbers[:MOST_LINES]
    ]


def whole(text: str) -> int:
    """A key as it was sent; 0, which is the key of nothing, for what is none."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 19 else 0


def _select(choices: Sequence[tuple[str, str]], label: str) -> forms.Select:
    named = {"aria-label": label} if label else {}
    return forms.Select(choices=choices, attrs={**named, "class": "form-select"})
