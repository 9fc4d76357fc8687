"""The dialogs that put account tags on things: on one, or on many that were chosen in a table."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from django import forms
from django.db.models import QuerySet
from django.utils.functional import cached_property

from accounts.forms import BulkTagsForm, TagsForm
from accounts.models import AccountTag, VirtualAccount
from accounts.services.tags import change_virtual_account_tags, set_virtual_account_tags
from accounts.tables import tag_names
from accounts.views.base import AccountView, VirtualAccountView
from cssm.common.errors import NotFound
from cssm.common.permissions import Permission
from cssm.common.views import FormAction, SelectionAction
from licensing.models import Pool, ProductInstance
from licensing.services.devices.tags import tag_instances, tag_pools


class TaggingAction(AccountView, FormAction):
    """A form that asks for tags; knows the words of the account."""

    def get_form_kwargs(self) -> dict[str, Any]:
        words = AccountTag.objects.visible_to(self.actor).filter(smart_account=self.smart_account)
        return {"words": words.values_list("name", flat=True)}


class TagOne(TaggingAction):
    """All tags of one thing."""

    form_class = TagsForm

    def get_page_title(self) -> str:
        return f"Tags of {self.get_label()}"

    def get_label(self) -> str:
        raise NotImplementedError

    def get_row(self) -> Any:
        raise NotImplementedError

    def get_initial(self) -> dict[str, Any]:
        return {"tags": ", ".join(tag_names(self.get_row()))}


class TagMany(TaggingAction, SelectionAction):
    """Tags to add to many things and to take off; what is no longer there stops all."""

    form_class = BulkTagsForm
    one, many = "", ""

    @cached_property
    def rows(self) -> Sequence[Any]:
        """What was chosen, within the actor's reach. Raises `NotFound` where anything of it is not."""
        found = list(self.find(self.selected))
        if len(found) != len(self.selected):
            raise NotFound(f"Some of these {self.many} are not here any more. Choose again.")
        return found

    def find(self, keys: list[str]) -> QuerySet[Any]:
        raise NotImplementedError

    def get_page_title(self) -> str:
        return f"Tag {len(self.selected)} {self.one if len(self.selected) == 1 else self.many}"

    def get_form_kwargs(self) -> dict[str, Any]:
        return {**super().get_form_kwargs(), "present": {name for row in self.rows for name in tag_names(row)}}

    def perform(self, form: forms.Form) -> str:
        changed = self.change(add=form.cleaned_data["add"], remove=form.cleaned_data.get("remove", []))
        return f"The tags of {changed} {self.one if changed == 1 else self.many} were changed."

    def change(self, *, add: Sequence[str], remove: Sequence[str]) -> int:
        raise NotImplementedError


def whole_numbers(keys: Sequence[str]) -> list[int]:
    """Keys as a table sent them; what is no key names nothing."""
    return [int(key) for key in keys if key.isascii() and key.isdecimal() and len(key) < 19]


class TagVirtualAccount(VirtualAccountView, TagOne):
    permission = Permission.MANAGE_VIRTUAL_ACCOUNTS

    def get_success_url(self) -> str:
        return f"{self.account_url}inventory/"

    def get_label(self) -> str:
        return self.virtual_account.name

    def get_row(self) -> VirtualAccount:
        return self.virtual_account

    def perform(self, form: forms.Form) -> str:
        set_virtual_account_tags(
            actor=self.actor, virtual_account=self.virtual_account, names=form.cleaned_data["tags"], now=self.now
        )
        return f'The tags of "{self.virtual_account.name}" were saved.'


class TagVirtualAccounts(TagMany):
    permission = Permission.MANAGE_VIRTUAL_ACCOUNTS
    one, many = "Virtual Account", "Virtual Accounts"

    def get_success_url(self) -> str:
        return f"{self.account_url}inventory/"

    def find(self, keys: list[str]) -> QuerySet[VirtualAccount]:
        rows = VirtualAccount.objects.live().visible_to(self.actor).filter(smart_account=self.smart_account)
        return rows.filter(pk__in=whole_numbers(keys)).prefetch_related("tags")

    def change(self, *, add: Sequence[str], remove: Sequence[str]) -> int:
        return change_virtual_account_tags(
            actor=self.actor,
            smart_account=self.smart_account,
            virtual_accounts=self.rows,
            add=add,
            remove=remove,
            now=self.now,
        )


class TagLicense(VirtualAccountView, TagOne):
    permission = Permission.MANAGE_ASSETS

    def authorize(self) -> None:
        super().authorize()
        pools = Pool.objects.visible_to(self.actor).filter(virtual_account=self.virtual_account)
        pool = pools.select_related("license").filter(pk=self.kwargs["pool"]).first()
        if pool is None:
            raise NotFound("There is no such license in this Virtual Account.")
        self.pool = pool

    def get_success_url(self) -> str:
        return self.tab_url("licenses")

    def get_label(self) -> str:
        return self.pool.license.display_name

    def get_row(self) -> Pool:
        return self.pool

    def perform(self, form: forms.Form) -> str:
        names = form.cleaned_data["tags"]
        tag_pools(actor=self.actor, smart_account=self.smart_account, pools=[self.pool], exactly=names, now=self.now)
        return f'The tags of "{self.get_label()}" were saved.'


class TagLicenses(VirtualAccountView, TagMany):
    permission = Permission.MANAGE_ASSETS
    one, many = "license", "licenses"

    def get_success_url(self) -> str:
        return self.tab_url("licenses")

    def find(self, keys: list[str]) -> QuerySet[Pool]:
        pools = Pool.objects.visible_to(self.actor).filter(virtual_account=self.virtual_account)
        return pools.filter(pk__in=whole_numbers(keys)).select_related("license").prefetch_related("tags")

    def change(self, *, add: Sequence[str], remove: Sequence[str]) -> int:
        return tag_pools(
            actor=self.actor,
            smart_account=self.smart_account,
            pools=self.rows,
            add=add,
            remove=remove,
            now=self.now,
        )


class TagInstance(VirtualAccountView, TagOne):
    permission = Permission.MANAGE_ASSETS

    def authorize(self) -> None:
        super().authorize()
        own = ProductInstance.objects.visible_to(self.actor).filter(virtual_account=self.virtual_account)
        instance = own.filter(piid=self.kwargs["piid"]).first()
        if instance is None:
            raise NotFound("There is no such product instance in this Virtual Account.")
        self.instance = instance

    def get_success_url(self) -> str:
        return self.tab_url("instances")

    def get_label(self) -> str:
        return self.instance.hostname or self.instance.udi

    def get_row(self) -> ProductInstance:
        return self.instance

    def perform(self, form: forms.Form) -> str:
        names = form.cleaned_data["tags"]
        tag_instances(
            actor=self.actor, smart_account=self.smart_account, instances=[self.instance], exactly=names, now=self.now
        )
        return f'The tags of "{self.get_label()}" were saved.'


class TagInstances(VirtualAccountView, TagMany):
    permission = Permission.MANAGE_ASSETS
    one, many = "product instance", "product instances"

    def get_success_url(self) -> str:
        return self.tab_url("instances")

    def find(self, keys: list[str]) -> QuerySet[ProductInstance]:
        own = ProductInstance.objects.visible_to(self.actor).filter(virtual_account=self.virtual_account)
        return own.filter(piid__in=[key for key in keys if is_uuid(key)]).prefetch_related("tags")

    def change(self, *, add: Sequence[str], remove: Sequence[str]) -> int:
        return tag_instances(
            actor=self.actor,
            smart_account=self.smart_account,
            instances=self.rows,
            add=add,
            remove=remove,
            now=self.now,
        )


def is_uuid(key: str) -> bool:
    """Whether a key that was sent can name an instance."""
    try:
        UUID(key)
    except ValueError:
        return False
    return True
