"""Handing in a file of usage reports."""

from typing import Any

from django import forms
from django.db.models import QuerySet

from accounts.models import VirtualAccount
from cssm.common.forms import PortalForm
from licensing.codecs.rum.report import MAX_FILE


class UsageFileForm(PortalForm):
    """`virtual_accounts` are those that the person may manage."""

    file = forms.FileField(
        label="File with usage reports",
        widget=forms.FileInput(attrs={"accept": ".json,.xml,.txt,application/json,text/xml,text/plain"}),
        help_text=f"As the product saves it, JSON or XML; at most {MAX_FILE // 1024**2} MB and 1,000 reports.",
    )
    virtual_account = forms.ModelChoiceField(
        label="Virtual Account of products that are not registered",
        queryset=VirtualAccount.objects.none(),
        to_field_name="name",
        empty_label=None,
        help_text="A product that is registered counts in its own Virtual Account.",
    )

    def __init__(self, *args: Any, virtual_accounts: QuerySet[VirtualAccount], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["virtual_account"].queryset = virtual_accounts  # type: ignore[attr-defined]  # of its own class

    def clean_file(self) -> bytes:
        file = self.cleaned_data["file"]
        if file.size > MAX_FILE:
            raise forms.ValidationError("The file is too large. Save fewer reports into one file.", code="TOO_LARGE")
        content: bytes = file.read()
        return content
