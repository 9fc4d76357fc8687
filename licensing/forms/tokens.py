"""The form of a new ID token."""

from django import forms

from cssm.common.forms import PortalForm, QuantityField


class TokenForm(PortalForm):
    description = forms.CharField(
        max_length=500,
        required=False,
        help_text="What it is for, so that others can tell it from the next.",
        widget=forms.TextInput(attrs={"autofocus": True}),
    )
    lifetime_days = QuantityField(
        label="Expires after (days)", initial=30, most=9999, help_text="Registered products are not affected by it."
    )
    max_uses = QuantityField(
        label="Maximum number of uses", required=False, help_text="Leave empty for any number of products."
    )
    export_controlled_allowed = forms.BooleanField(
        label="Allow export-controlled functionality on the products registered with this token",
        required=False,
        initial=True,
    )
