"""The one form style: labels above, help below, errors beside the field they concern.

Templates draw any form with `{% include "components/form.html" %}`.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from django import forms
from django.core.validators import MaxValueValidator, MinValueValidator

from cssm.common.errors import DomainError

MAX_QUANTITY: Final = 10**9


class PortalForm(forms.Form):
    """Base of our forms. `field_of` maps a service's `where` to a field where the names differ."""

    required_css_class = "is-required"
    field_of: Mapping[str, str] = {}


class ConfirmForm(PortalForm):
    """Nothing to fill in: sending it is the consent."""


class QuantityField(forms.IntegerField):
    """A whole number of licenses, 1 to 10⁹ unless told otherwise."""

    def __init__(self, *, least: int = 1, most: int = MAX_QUANTITY, **kwargs: Any) -> None:
        kwargs.setdefault("widget", forms.NumberInput(attrs={"min": least, "max": most, "inputmode": "numeric"}))
        super().__init__(validators=[MinValueValidator(least), MaxValueValidator(most)], **kwargs)


def add_domain_error(form: forms.Form, error: DomainError) -> None:
    """Show a service's refusal beside the field it names, or above the form."""
    where = error.where or ""
    name = getattr(form, "field_of", {}).get(where, where)
    form.add_error(name if name in form.fields else None, forms.ValidationError(error.message, code=error.code))


def choices_of(pairs: Iterable[tuple[str, str]], *, empty: str = "") -> list[tuple[str, str]]:
    """Choices with an empty first one, labelled `empty`, where it is given."""
    return [*([("", empty)] if empty else []), *pairs]
