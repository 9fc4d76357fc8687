"""Forms of the operator area."""

import uuid
from collections.abc import Sequence
from typing import Any

from django import forms

from accounts.states import ExportStatus
from cssm.common.forms import PortalForm, choices_of
from licensing.services.ownership.transfers import MOST_QUANTITY
from licensing.states import Precedence


class FlagsForm(PortalForm):
    slr = forms.BooleanField(label="Specific License Reservation (SLR)", required=False)
    plr = forms.BooleanField(label="Permanent License Reservation (PLR)", required=False)
    export_status = forms.ChoiceField(
        label="Export-controlled functionality",
        choices=[(ExportStatus.ALLOWED.value, "Allowed"), (ExportStatus.RESTRICTED.value, "Restricted")],
        help_text="A restricted account gets no export-restricted licenses.",
    )


class IssuingForm(PortalForm):
    reason = forms.CharField(max_length=500, help_text="It stays in the record.")


class BlockKeyForm(IssuingForm):
    key = forms.CharField(
        label="Certificate, certificate request or public key",
        max_length=16 * 1024,
        widget=forms.Textarea(attrs={"rows": 8}),
        help_text="In PEM form. The private key is not needed, and does not belong here.",
    )
    field_order = ("key", "reason")


class DeclineForm(PortalForm):
    reason = forms.CharField(
        max_length=1000, widget=forms.Textarea(attrs={"rows": 3}), help_text="The requester reads it."
    )


class HigherForm(PortalForm):
    """The next higher license, by its tag; chosen from `licenses` (tag, name), or typed where they are too many."""

    def __init__(self, *args: Any, licenses: Sequence[tuple[str, str]] = (), **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        label, hint = "Next higher license", "It stands in for this one where this one runs short."
        choices = choices_of(
            ((tag, f"{name} ({tag})") for tag, name in licenses), empty="None: nothing stands in for it"
        )
        self.fields["higher"] = (
            forms.ChoiceField(label=label, choices=choices, required=False, help_text=hint)
            if licenses
            else forms.CharField(
                label=f"Entitlement tag of the {label.lower()}",
                max_length=255,
                required=False,
                help_text=f"{hint} Leave it empty for none.",
            )
        )


class KeyedForm(PortalForm):
    """`key` makes a second press of the button change nothing more."""

    key = forms.CharField(max_length=100, widget=forms.HiddenInput, initial=lambda: f"portal:{uuid.uuid4()}")


class TerminationForm(KeyedForm):
    quantity = forms.IntegerField(min_value=1, max_value=MOST_QUANTITY, help_text="Of this license and type.")
    precedence = forms.ChoiceField(label="Which first", choices=[(each.value, each.label) for each in Precedence])
    reason = forms.CharField(max_length=500, help_text="It stays in the record and the account's event log.")


class CorrectionForm(KeyedForm):
    quantity = forms.IntegerField(
        min_value=-MOST_QUANTITY, max_value=MOST_QUANTITY, help_text="−3 takes three away, 3 adds three."
    )
    reason = forms.CharField(max_length=500, help_text="It stays in the record and the account's event log.")
