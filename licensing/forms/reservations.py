"""What a person enters about a reservation: the codes that products show, and which licenses how often."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import IO, Any, ClassVar, Final

from django import forms
from django.forms import BoundField

from cssm.common.errors import DomainError, Invalid
from cssm.common.forms import PortalForm, QuantityField
from licensing.codecs.confirmation_code import WHERE as CONFIRMATION_CODE
from licensing.codecs.csv_rows import CsvRefused
from licensing.codecs.request_code import WHERE as REQUEST_CODE
from licensing.codecs.reservation_csv import MOST_CODES, CodeRow, read_codes
from licensing.codecs.return_code import WHERE as RETURN_CODE
from licensing.codecs.transfer_lines import LineError
from licensing.forms.files import PASTED, RowsForm, pasted_rows, read_all, rows_file
from licensing.models import License
from licensing.services.reservations.contents import Wanted
from licensing.services.reservations.offers import Offer, Term
from licensing.states import LicenseType

CODE_ATTRS: Final[dict[str, Any]] = {**PASTED, "rows": 2, "autofocus": True}
MOST_CODE_FILE: Final = 65_536
CHECK_ID: Final = "code-check"


class TypedCodeForm(PortalForm):
    """A form with a code, `code_field`. What `check_url` answers while it is typed stands in the element `CHECK_ID`."""

    code_field: ClassVar[str] = "code"

    def __init__(self, *args: Any, check_url: str = "", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not check_url:
            return
        self.fields[self.code_field].widget.attrs |= {
            "hx-post": check_url,
            "hx-trigger": "input changed delay:300ms",
            "hx-target": f"#{CHECK_ID}",
            "hx-swap": "outerHTML",
            "hx-sync": "this:replace",
            "hx-params": f"{self.code_field},csrfmiddlewaretoken",
            "hx-disabled-elt": "unset",  # of a dialog its button, which is to stay
        }


class RequestCodeForm(TypedCodeForm):
    """The request code of one product, typed or as a file."""

    code_field = "request_code"
    field_of = {REQUEST_CODE: "request_code"}

    request_code = forms.CharField(
        required=False,
        label="Reservation request code",
        strip=False,
        widget=forms.Textarea(attrs=CODE_ATTRS),
        help_text="As the product shows it, such as CB-ZC9300-24UX:FCW2134L0RN-AK9A6sMTr-86. Blanks and line breaks do"
        " not matter.",
    )
    file = forms.FileField(
        required=False,
        label="Or a text file with it",
        widget=forms.FileInput(attrs={"accept": ".txt,text/plain"}),
    )

    def clean(self) -> dict[str, Any]:
        typed, file = self.cleaned_data.get("request_code", ""), self.cleaned_data.get("file")
        if bool(typed.strip()) == bool(file):
            if not self.errors:
                message = "Enter the code, or choose a file with it: one of the two."
                self.add_error("request_code", forms.ValidationError(message, code="CODE_OR_FILE"))
            return self.cleaned_data
        try:
            return {"request_code": read_text(file) if file else typed}
        except Invalid as error:
            self.add_error("file", forms.ValidationError(error.message, code=error.code))
            return self.cleaned_data


class ConfirmationForm(TypedCodeForm):
    field_of = {CONFIRMATION_CODE: "code"}

    code = forms.CharField(
        label="Confirmation code",
        strip=False,
        widget=forms.TextInput(attrs={key: value for key, value in CODE_ATTRS.items() if key != "rows"}),
        help_text="The product shows it when it has installed the authorization code.",
    )


class ReturnForm(TypedCodeForm):
    field_of = {RETURN_CODE: "code"}

    code = forms.CharField(
        label="Return code",
        strip=False,
        widget=forms.Textarea(attrs=CODE_ATTRS),
        help_text="The product shows it when it gives its reservation up (license smart reservation return), such as"
        " CEL7AU-RaGyRi-dGWrct-Mex5qo-hZbfKf-Pp84Vg-m3QZre-FXjAbH-59J.",
    )


class ReturnsForm(PortalForm):
    """Many return codes, one per line. `cleaned_data["codes"]` are those lines."""

    text = forms.CharField(
        label="Return codes, one per line", strip=False, widget=forms.Textarea(attrs={**CODE_ATTRS, "rows": 10})
    )

    def clean(self) -> dict[str, Any]:
        codes = [line.strip() for line in self.cleaned_data.get("text", "").splitlines() if line.strip()]
        return {"codes": list(dict.fromkeys(codes))}


@dataclass(frozen=True, slots=True)
class Row:
    """A license, or one type of it where there are several; `most` is None where there is no limit."""

    offer: Offer
    license_type: LicenseType | None
    terms: Sequence[Term]
    most: int | None
    held: int
    quantity: BoundField

    @property
    def license(self) -> License:
        return self.offer.license


class LicensesForm(PortalForm):
    """A quantity for each license on offer, and for each of its types where there are several.

    Of the reservation that is changed, `held` is what its newest code holds of a license and type, and `counted` what
    counts for it in the pool, which can be asked for beyond what is free. `cleaned_data["wanted"]` are `Wanted`s,
    numbered by their row.
    """

    def __init__(
        self,
        *args: Any,
        offers: Sequence[Offer],
        held: Mapping[tuple[int, LicenseType], int] | None = None,
        counted: Mapping[tuple[int, LicenseType], int] | None = None,
        may_be_empty: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.held, self.counted, self.may_be_empty = held or {}, counted or {}, may_be_empty
        self.choices = [(offer, kind) for offer in offers for kind in self._kinds(offer)]
        for offer, kind in self.choices:
            label = offer.license.display_name + (f", {kind.label}" if kind else "")
            attrs = {"class": "form-control", "autocomplete": "off", "aria-label": f"Quantity of {label}"}
            most, held_here = self._figures(offer, kind)
            attrs |= {"max": str(most)} if most is not None else {}
            if held_here:
                self.initial[_name(offer, kind)] = held_here
            widget = forms.NumberInput(attrs={"inputmode": "numeric", "min": "0", **attrs})
            self.fields[_name(offer, kind)] = QuantityField(least=0, required=False, label=label, widget=widget)

    def rows(self) -> list[Row]:
        return [
            Row(
                offer,
                kind,
                [term for term in offer.terms if kind in (None, term.license_type)],
                *self._figures(offer, kind),
                self[_name(offer, kind)],
            )
            for offer, kind in self.choices
        ]

    def clean(self) -> dict[str, Any]:
        values = self.cleaned_data
        wanted = [
            Wanted(offer.license, values[_name(offer, kind)], kind, number=number)
            for number, (offer, kind) in enumerate(self.choices, start=1)
            if values.get(_name(offer, kind))
        ]
        if not wanted and not self.may_be_empty and not self.errors:
            raise forms.ValidationError("Give the quantity of at least one license.", code="NOTHING_TO_RESERVE")
        return {**values, "wanted": wanted}

    def add_refusal(self, error: DomainError) -> None:
        """Beside the quantities that a service refuses."""
        for each in error.details.get("errors", []):
            offer, kind = self.choices[each["line"] - 1]
            already = sum(self._of(self.counted, offer, kind))
            message = f"Beyond the {already:,} that it has already: {each['message']}" if already else each["message"]
            self.add_error(_name(offer, kind), forms.ValidationError(message, code=each["code"]))

    def add_error(self, field: str | None, error: Any) -> None:
        super().add_error(field, error)
        if field in self.fields:
            attrs = self.fields[field].widget.attrs
            attrs["class"] = f"{attrs.get('class', '')} is-invalid".strip()

    def _kinds(self, offer: Offer) -> list[LicenseType | None]:
        held = [kind for license_id, kind in (*self.held, *self.counted) if license_id == offer.license.pk]
        kinds = dict.fromkeys([*(term.license_type for term in offer.terms), *held])
        return list(kinds) if len(kinds) > 1 and offer.most is not None else [None]

    def _figures(self, offer: Offer, kind: LicenseType | None) -> tuple[int | None, int]:
        """The most that can be asked for, and what the newest code holds of it."""
        held, counted = sum(self._of(self.held, offer, kind)), sum(self._of(self.counted, offer, kind))
        if offer.most is None:
            return None, held
        if kind is None or (not offer.most_of and any(term.license_type is kind for term in offer.terms)):
            return offer.most + counted, held
        return offer.most_of.get(kind, 0) + counted, held

    def _of(self, sums: Mapping[tuple[int, LicenseType], int], offer: Offer, kind: LicenseType | None) -> Iterator[int]:
        """Of the license, and of the type if one is given."""
        for (license_id, of_kind), quantity in sums.items():
            if license_id == offer.license.pk and kind in (None, of_kind):
                yield quantity


def read_text(file: IO[bytes]) -> str:
    """The text of a small file in UTF-8, UTF-16 or Windows-1252. Raises `Invalid`."""
    data = file.read(MOST_CODE_FILE + 1)
    if len(data) > MOST_CODE_FILE:
        raise Invalid("This file is too large to be a code. Choose the file that holds it alone.", code="TOO_LARGE")
    try:
        return read_all(BytesIO(data))
    except (CsvRefused, UnicodeDecodeError):
        raise Invalid("This is no text file. Save the code as plain text.", code="ENCODING_UNKNOWN") from None


def _name(offer: Offer, kind: LicenseType | None) -> str:
    return f"q-{offer.pool_id}" + (f"-{kind.value}" if kind else "")


class CodesForm(RowsForm):
    """Many request codes; the rows are `CodeRow`s."""

    what = "codes"

    text = pasted_rows(
        "Request codes, one per line; or lines of a CSV file, the column names first", rows=10, autofocus=True
    )
    file = rows_file(
        "Or a text or CSV file with them", f"At most {MOST_CODES:,} codes, in UTF-8, UTF-16 or Windows-1252."
    )

    def read(self, file: IO[bytes]) -> tuple[list[CodeRow], list[LineError]]:
        return read_codes(file)

    def rows(self) -> list[CodeRow]:
        """Those of a text that is known to be right; none of one that is not."""
        rows: list[CodeRow] = self.cleaned_data["rows"] if self.is_valid() else []
        return rows
