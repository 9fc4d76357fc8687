"""Forms of the accounts pages: shapes only, the services judge."""

import zoneinfo
from collections.abc import Iterable
from functools import cache
from typing import Any

from django import forms

from accounts.models import VirtualAccount
from accounts.states import AccessLevel
from cssm.common.forms import PortalForm, choices_of
from cssm.common.permissions import Role

ACCESS_LEVELS = [
    (AccessLevel.PUBLIC.value, "Public: everyone in the Smart Account can look it up"),
    (AccessLevel.PRIVATE.value, "Private: found only by its exact name"),
]


SHOWN_WORDS = 30


@cache
def list_time_zones() -> list[tuple[str, str]]:
    """Read from the system's files, about 600 of them, once."""
    return [(zone, zone.replace("_", " ")) for zone in sorted(zoneinfo.available_timezones())]


class RoleForm(PortalForm):
    """A role and, for the VA roles, the Virtual Account; the view says which the actor can give."""

    field_of = {"virtualAccount": "virtual_account"}

    role = forms.ChoiceField(label="Role")
    virtual_account = forms.ChoiceField(
        label="Virtual Account", required=False, help_text="For the Virtual Account roles only."
    )

    def __init__(
        self, *args: Any, roles: Iterable[Role], virtual_accounts: Iterable[VirtualAccount], **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self._virtual_accounts = {str(row.pk): row for row in virtual_accounts}
        role, virtual_account = self.fields["role"], self.fields["virtual_account"]
        assert isinstance(role, forms.ChoiceField)  # noqa: S101  declared above
        assert isinstance(virtual_account, forms.ChoiceField)  # noqa: S101  declared above
        role.choices = [(choice.value, choice.label) for choice in roles]
        virtual_account.choices = choices_of(
            ((key, row.name) for key, row in self._virtual_accounts.items()), empty="The whole Smart Account"
        )

    def chosen_role(self) -> Role:
        return Role(self.cleaned_data["role"])

    def chosen_virtual_account(self) -> VirtualAccount | None:
        return self._virtual_accounts.get(self.cleaned_data["virtual_account"])


class AddUserForm(RoleForm):
    email = forms.EmailField(label="E-mail address", max_length=254)
    name = forms.CharField(max_length=150, required=False, help_text="Only used where the person is new here.")
    field_order = ["email", "name", "role", "virtual_account"]


class ChangeRoleForm(PortalForm):
    role = forms.ChoiceField(label="Role")

    def __init__(self, *args: Any, roles: Iterable[Role], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        role = self.fields["role"]
        assert isinstance(role, forms.ChoiceField)  # noqa: S101  declared above
        role.choices = [(choice.value, choice.label) for choice in roles]


class ApiClientForm(RoleForm):
    name = forms.CharField(max_length=120, help_text="What uses it, as you will find it in the list.")
    field_order = ["name", "role", "virtual_account"]


class VirtualAccountForm(PortalForm):
    name = forms.CharField(max_length=120)
    description = forms.CharField(max_length=500, required=False)
    access_level = forms.ChoiceField(label="Access", choices=ACCESS_LEVELS)


class AccountNameForm(PortalForm):
    name = forms.CharField(max_length=200)


class NewAccountForm(PortalForm):
    domain = forms.CharField(max_length=253, help_text="Your company's domain, such as acme.example.")
    name = forms.CharField(label="Name of the company", max_length=200)
    note = forms.CharField(max_length=1000, required=False, widget=forms.Textarea(attrs={"rows": 3}))


class AccessForm(PortalForm):
    domain = forms.CharField(max_length=253, help_text="The domain of the Smart Account.")
    note = forms.CharField(
        max_length=1000,
        required=False,
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text="The administrators read it: what you need the access for.",
    )


class DeclineForm(PortalForm):
    reason = forms.CharField(
        max_length=1000, widget=forms.Textarea(attrs={"rows": 3}), help_text="The requester reads it."
    )


class TagsField(forms.CharField):
    """Words with commas between them; gives a list."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(max_length=2000, required=False, **kwargs)

    def clean(self, value: Any) -> Any:
        return [word for word in super().clean(value).split(",") if word.strip()]


def describe_words(words: Iterable[str]) -> str:
    """How to write tags, and which ones there are."""
    known = sorted(words, key=str.casefold)
    more = f" and {len(known) - SHOWN_WORDS} more" if len(known) > SHOWN_WORDS else ""
    there = f" There are: {', '.join(known[:SHOWN_WORDS])}{more}." if known else ""
    return f"Separate them by commas; a word that is not there yet is added.{there}"


class TagsForm(PortalForm):
    """All tags of one thing; `words` are those the account has."""

    tags = TagsField()

    def __init__(self, *args: Any, words: Iterable[str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["tags"].help_text = describe_words(words)


class BulkTagsForm(PortalForm):
    """What to add to many things and what to take off; `present` are the tags that any of them has."""

    field_of = {"tags": "add"}

    add = TagsField(label="Add these tags")
    remove = forms.MultipleChoiceField(label="Take these off", required=False, widget=forms.CheckboxSelectMultiple)

    def __init__(self, *args: Any, words: Iterable[str], present: Iterable[str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["add"].help_text = describe_words(words)
        remove = self.fields["remove"]
        assert isinstance(remove, forms.MultipleChoiceField)  # noqa: S101  declared above
        remove.choices = [(name, name) for name in sorted(present, key=str.casefold)]
        if not remove.choices:
            del self.fields["remove"]

    def clean(self) -> dict[str, Any]:
        given = super().clean() or {}
        if not self.errors and not given.get("add") and not given.get("remove"):
            raise forms.ValidationError("Say which tags to add or to take off.")
        return given


class TagNameForm(PortalForm):
    name = forms.CharField(max_length=60)


class ProfileForm(PortalForm):
    name = forms.CharField(max_length=150, required=False)
    time_zone = forms.ChoiceField(
        label="Time zone",
        choices=list_time_zones,
        help_text="For the daily summary. Times on pages are shown in UTC.",
    )
