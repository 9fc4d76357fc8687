"""What a person enters about classic licenses: those of one product, or a list of many products."""

import re
from collections.abc import Sequence
from io import BytesIO
from typing import IO, Any, Final

from django import forms

from cssm.common.errors import DomainError
from cssm.common.forms import PortalForm
from licensing.codecs.conversion import WantedLine
from licensing.codecs.conversion_csv import MOST_PRODUCTS, ProductRow, read_products
from licensing.codecs.transfer_lines import LineError
from licensing.forms.files import PASTED, RowsForm, pasted_rows, rows_file
from licensing.services.exchange.conversion_rows import check_line, wrong
from licensing.states.conversions import ConversionType

_LINE: Final = re.compile(r"(?P<tag>.+?)[\s,;=×]+(?P<count>[0-9]{1,10})")
_PID: Final = r"\A[\x20-\x7e]+\Z"
_SERIAL: Final = r"\A[\x20-\x39\x3b-\x7e]+\Z"


class AccountChoiceForm(PortalForm):
    """`accounts` are the names of the Virtual Accounts that the licenses may go to."""

    virtual_account = forms.ChoiceField(label="Virtual Account", help_text="Where the converted licenses go.")

    def __init__(self, *args: Any, accounts: Sequence[str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        choice = self.fields["virtual_account"]
        assert isinstance(choice, forms.ChoiceField)  # noqa: S101  it is declared above
        choice.choices = [(name, name) for name in accounts]


class ProductForm(AccountChoiceForm):
    """One product; `cleaned_data["wanted"]` are its lines."""

    field_of = {"conversionLines": "lines", "entitlementTag": "lines", "conversionCount": "lines"}

    udi_pid = forms.RegexField(_PID, max_length=128, label="Product ID (PID)")
    udi_serial_number = forms.RegexField(_SERIAL, max_length=128, label="Serial number")
    software_tag = forms.CharField(
        max_length=255, required=False, label="Software tag", help_text="As the product shows it; may stay empty."
    )
    lines = forms.CharField(
        label="Licenses, one per line: entitlement tag and count",
        widget=forms.Textarea(attrs={**PASTED, "rows": 4}),
        help_text="For instance: regid.2017-03.com.example.ADVANTAGE,1.0_1a2b 5. Each is converted once per product.",
    )

    def clean_lines(self) -> str:
        text: str = self.cleaned_data["lines"]
        wanted: list[WantedLine] = []
        for number, line in enumerate(filter(None, map(str.strip, text.splitlines())), start=1):
            found = _LINE.fullmatch(line)
            try:
                if found is None:
                    raise wrong(number, "lines", "write the entitlement tag and behind it the count.")
                wanted.append(check_line(number, ConversionType.TRUST_BASED, found["tag"], int(found["count"])))
            except DomainError as error:
                self.add_error("lines", forms.ValidationError(error.message, code=error.code))
        self.cleaned_data["wanted"] = wanted
        return text


class ProductsForm(RowsForm, AccountChoiceForm):
    """Many products; the rows are `ProductRow`s."""

    what = "lines"

    text = pasted_rows("Lines of a CSV file, the column names first")
    file = rows_file("Or a CSV file", f"At most {MOST_PRODUCTS:,} products, in UTF-8, UTF-16 or Windows-1252.")

    def read(self, file: IO[bytes]) -> tuple[list[ProductRow], list[LineError]]:
        return read_products(file)


def rows_of(text: str) -> list[ProductRow]:
    """The products of a text that was read before."""
    return read_products(BytesIO(text.encode()))[0]
