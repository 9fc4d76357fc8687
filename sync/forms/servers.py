"""Forms of the pages of on-prem servers."""

from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import Sequence
from typing import Any, Final

from django import forms

from cssm.common.errors import DomainError
from cssm.common.forms import PortalForm, choices_of
from sync.codecs.registration import MAX_SIZE, NAME_LIMIT
from sync.errors import problems_of
from sync.services.three_tier import REASON_LIMIT

NO_FILE: Final = "Choose the registration file that the on-prem license server has written."


class RenameForm(PortalForm):
    name = forms.CharField(max_length=NAME_LIMIT)


class LinkForm(PortalForm):
    virtual_account = forms.ChoiceField(label="Virtual Account")

    def __init__(self, *args: Any, virtual_accounts: Sequence[tuple[str, str]] = (), **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["virtual_account"] = forms.ChoiceField(
            label=self.base_fields["virtual_account"].label,
            help_text="Those that you may manage and to which no other of the server's is linked.",
            choices=choices_of(virtual_accounts, empty="Choose a Virtual Account"),
        )


class RegistrationForm(PortalForm):
    """A registration file, of which `content` is kept between the steps; `problems` is what is wrong with it."""

    file = forms.FileField(
        required=False,
        label="Registration file",
        widget=forms.FileInput(attrs={"accept": ".yaml,.yml,.gz"}),
        help_text="As the on-prem license server wrote it, plain or packed by gzip, at most 512 KB.",
    )
    content = forms.CharField(required=False, widget=forms.HiddenInput)
    file_name = forms.CharField(required=False, widget=forms.HiddenInput)
    name = forms.CharField(
        required=False,
        max_length=NAME_LIMIT,
        label="On-Prem name",
        help_text="What people call the server here. Without one the name in the file is taken.",
    )
    virtual_account = forms.ChoiceField(
        label="Virtual Account",
        help_text="Whoever may manage it, manages the server. The server's own Virtual Accounts are linked to those of"
        " their names when it synchronizes.",
    )

    def __init__(self, *args: Any, virtual_accounts: Sequence[tuple[str, str]] = (), **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.problems: list[dict[str, Any]] = []
        empty = "" if len(virtual_accounts) == 1 else "Choose a Virtual Account"
        self.fields["virtual_account"] = forms.ChoiceField(
            label=self.base_fields["virtual_account"].label,
            help_text=self.base_fields["virtual_account"].help_text,
            choices=choices_of(virtual_accounts, empty=empty),
        )

    @property
    def kept_name(self) -> str:
        """Of the file that was chosen before, where one was."""
        return str(self.data.get("file_name", "")) if self.data.get("content") else ""

    def clean(self) -> dict[str, Any]:
        values = self.cleaned_data
        if (file := values.pop("file", None)) is not None:
            if file.size > MAX_SIZE:
                self.add_error("file", forms.ValidationError(f"It has more than {MAX_SIZE} bytes.", code="TOO_LARGE"))
                return values
            return {**values, "data": file.read(), "file_name": file.name[:100]}
        try:
            data = b64decode(values.get("content", ""), validate=True)
        except (Base64Error, ValueError):
            data = b""
        if not data and "file" not in self.errors:
            self.add_error("file", forms.ValidationError(NO_FILE, code="required"))
        return {**values, "data": data}

    def kept(self) -> dict[str, list[str]]:
        """The answers as they could be posted again."""
        values = self.cleaned_data
        return {
            "content": [b64encode(values["data"]).decode()],
            "file_name": [values["file_name"]],
            "name": [values["name"]],
            "virtual_account": [values["virtual_account"]],
        }

    def add_problems(self, error: DomainError) -> None:
        """Every problem of the file, line by line."""
        self.problems = problems_of(error)
        count = len(self.problems)
        message = "One thing is wrong with this file." if count == 1 else f"{count} things are wrong with this file."
        self.add_error(None, forms.ValidationError(f"{message} Nothing was registered.", code=error.code))


class ConfirmAnewForm(PortalForm):
    """The consent is given for one file, and is none for another."""

    of = forms.CharField(widget=forms.HiddenInput)
    confirm = forms.BooleanField(
        label="Register it anew: everything it was given before is revoked",
        error_messages={"required": "Tick this, or keep the server as it is."},
    )

    def __init__(self, data: Any = None, *, file_digest: str, **kwargs: Any) -> None:
        given = data if data is not None and data.get("of") == file_digest else None
        super().__init__(given, **{**kwargs, "initial": {"of": file_digest}})


class ReasonForm(PortalForm):
    reason = forms.CharField(max_length=REASON_LIMIT, help_text="It goes into the customer's event log.")
