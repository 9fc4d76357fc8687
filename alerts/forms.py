"""Choosing notifications: a matrix of places and alert types, and addresses of the Smart Account."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django import forms

from accounts.models import VirtualAccount
from alerts.states import AlertType, Frequency
from cssm.common.forms import PortalForm, choices_of

FREQUENCIES = [(frequency.value, frequency.label) for frequency in Frequency]


@dataclass(frozen=True, slots=True)
class Place:
    """A row of the matrix: a Virtual Account, or the whole Smart Account where `pk` is None."""

    pk: int | None
    label: str

    def field(self, alert_type: AlertType) -> str:
        return f"{self.pk or 'all'}-{alert_type}"


def list_places(account_name: str, *, whole: bool, virtual_accounts: list[VirtualAccount]) -> list[Place]:
    first = [Place(None, f"All of {account_name}")] if whole else []
    return [*first, *(Place(account.pk, account.name) for account in virtual_accounts)]


class PreferencesForm(PortalForm):
    """One choice per place and alert type."""

    def __init__(self, *args: Any, places: list[Place], types: list[AlertType], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.places, self.types = places, types
        inherited = "As for all" if any(place.pk is None for place in places) else "Not chosen"
        for place in places:
            for alert_type in types:
                label = f"{alert_type.label}, {place.label}"
                self.fields[place.field(alert_type)] = forms.ChoiceField(
                    choices=FREQUENCIES if place.pk is None else choices_of(FREQUENCIES, empty=inherited),
                    required=place.pk is None,
                    label=label,
                    widget=forms.Select(attrs={"class": "form-select", "aria-label": label}),
                )

    def matrix(self) -> list[tuple[Place, list[tuple[str, forms.BoundField]]]]:
        """For the template: each place with the fields of its types, and what each is called."""
        return [(place, [(kind.label, self[place.field(kind)]) for kind in self.types]) for place in self.places]

    def choices(self) -> Mapping[tuple[int | None, AlertType], Frequency | None]:
        chosen: dict[tuple[int | None, AlertType], Frequency | None] = {}
        for place in self.places:
            for alert_type in self.types:
                value = self.cleaned_data[place.field(alert_type)]
                chosen[place.pk, alert_type] = Frequency(value) if value else None
        return chosen


class AddressForm(PortalForm):
    address = forms.EmailField(label="E-mail address", max_length=254)
    alert_type = forms.ChoiceField(label="Alert")
    frequency = forms.ChoiceField(
        label="When", choices=[pair for pair in FREQUENCIES if pair[0] != Frequency.OFF], initial=Frequency.IMMEDIATE
    )

    def __init__(self, *args: Any, types: list[AlertType], domain: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["alert_type"] = forms.ChoiceField(
            label="Alert", choices=[(alert_type.value, alert_type.label) for alert_type in types]
        )
        self.fields["address"].help_text = f"An address in {domain}."
