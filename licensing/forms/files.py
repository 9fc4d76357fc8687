"""Rows that a person pastes, or hands in as a file: a spreadsheet, or lines of text."""

from collections.abc import Sequence
from io import BytesIO
from typing import IO, Any, ClassVar, Final

from django import forms

from cssm.common.forms import PortalForm
from licensing.codecs.csv_rows import open_text
from licensing.codecs.transfer_lines import LineError

MOST_BYTES: Final = 2 * 1024 * 1024
PASTED: Final[dict[str, Any]] = {"class": "code-input", "spellcheck": "false", "autocomplete": "off"}


def pasted_rows(label: str, *, rows: int = 8, **attrs: Any) -> forms.CharField:
    widget = forms.Textarea(attrs={**PASTED, "rows": rows, **attrs})
    return forms.CharField(required=False, strip=False, label=label, widget=widget)


def rows_file(label: str, help_text: str) -> forms.FileField:
    widget = forms.FileInput(attrs={"accept": ".csv,.txt,.tsv,text/csv,text/plain"})
    return forms.FileField(required=False, label=label, widget=widget, help_text=help_text)


class RowsForm(PortalForm):
    """`text` or `file`, of which a form says what they are called: one of the two.

    `cleaned_data["rows"]` are what `read` makes of it, `["text"]` is what was read. `what` is what is pasted.
    """

    what: ClassVar[str]

    def read(self, file: IO[bytes]) -> tuple[Sequence[Any], Sequence[LineError]]:
        """The rows of a seekable file, and what is wrong with it as a whole."""
        raise NotImplementedError

    def clean(self) -> dict[str, Any]:
        typed, file = self.cleaned_data.get("text", ""), self.cleaned_data.get("file")
        if bool(typed.strip()) == bool(file):
            if not self.errors:
                message = f"Paste the {self.what}, or choose a file with them: one of the two."
                raise forms.ValidationError(message, code="TEXT_OR_FILE")
            return self.cleaned_data
        if file and file.size > MOST_BYTES:
            self.add_error("file", forms.ValidationError("The file is larger than 2 MB. Split it.", code="TOO_LARGE"))
            return self.cleaned_data
        data = file.file if file else BytesIO(typed.encode())
        rows, errors = self.read(data)
        for error in errors:
            self.add_error(
                "file" if file else "text",
                forms.ValidationError(f"Line {error.line}: {error.message}", code=error.code),
            )
        if errors:
            return self.cleaned_data
        return {**self.cleaned_data, "rows": rows, "text": read_all(data) if file else typed}


def read_all(file: IO[bytes]) -> str:
    """The text of a seekable file. Raises `CsvRefused`, or `UnicodeDecodeError` where it is broken UTF-16."""
    text = open_text(file)
    try:
        return text.read()
    finally:
        text.detach()
