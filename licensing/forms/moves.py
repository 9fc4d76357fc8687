"""Where product instances are transferred to."""

from collections.abc import Sequence
from typing import Any

from django import forms

from cssm.common.forms import PortalForm, choices_of


class MoveForm(PortalForm):
    def __init__(self, *args: Any, targets: Sequence[str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        widget = forms.Select(attrs={"autofocus": True})
        choices = choices_of(((name, name) for name in targets), empty="Choose a Virtual Account")
        self.fields["target"] = forms.ChoiceField(label="Transfer to", choices=choices, widget=widget)
