"""The page of an account's tags, and the dialogs that change them."""

from typing import Any

from django import forms
from django.db.models import QuerySet
from django.utils.functional import cached_property

from accounts.forms import TagNameForm
from accounts.models import AccountTag
from accounts.services.tags import create_tag, delete_tag, rename_tag
from accounts.views.manage import ManageAction, ManageView
from cssm.common.errors import NotFound
from cssm.common.forms import ConfirmForm
from cssm.common.permissions import Permission
from cssm.common.table_views import TableFilter, TableView
from cssm.common.views import ConfirmAction
from licensing.services.devices.tags import read_tags
from licensing.tables.tags import AccountTagTable


class TagFilter(TableFilter):
    search_fields = ("name",)


class AccountTags(ManageView, TableView):
    """Every word of the account, with how often the person sees it used."""

    permission = Permission.VIEW
    template_name = "licensing/tags.html"
    table_class = AccountTagTable
    filter_class = TagFilter

    def get_queryset(self) -> QuerySet[AccountTag]:
        return read_tags(actor=self.actor, smart_account=self.smart_account)

    def get_table_kwargs(self) -> dict[str, Any]:
        return {
            "search_url": f"{self.account_url}search/",
            "may_manage": self.may(Permission.MANAGE_VIRTUAL_ACCOUNTS),
        }

    def get_empty_action(self) -> tuple[str, str] | None:
        may = self.may(Permission.MANAGE_ASSETS)
        return ("New tag", self.url_of("licensing:create_tag")) if may else None

    def get_context(self) -> dict[str, Any]:
        return {**super().get_context(), "may_create": self.may(Permission.MANAGE_ASSETS)}


class CreateTag(ManageAction):
    permission = Permission.MANAGE_ASSETS
    back_to = "licensing:tags"
    page_title = "New tag"
    submit_label = "Create"
    form_class = TagNameForm

    def perform(self, form: forms.Form) -> str:
        tag = create_tag(
            actor=self.actor, smart_account=self.smart_account, name=form.cleaned_data["name"], now=self.now
        )
        return f'There is a tag "{tag.name}" now.'


class TagAction(ManageAction):
    """Something about one word."""

    permission = Permission.MANAGE_VIRTUAL_ACCOUNTS
    back_to = "licensing:tags"

    @cached_property
    def tag(self) -> AccountTag:
        own = AccountTag.objects.visible_to(self.actor).filter(smart_account=self.smart_account)
        tag = own.filter(pk=self.kwargs["tag"]).first()
        if tag is None:
            raise NotFound("There is no such tag in this Smart Account.")
        return tag


class RenameTag(TagAction):
    form_class = TagNameForm
    explanation = "It is renamed wherever it is in use."

    def get_page_title(self) -> str:
        return f'Rename the tag "{self.tag.name}"'

    def get_initial(self) -> dict[str, Any]:
        return {"name": self.tag.name}

    def perform(self, form: forms.Form) -> str:
        tag = rename_tag(actor=self.actor, tag=self.tag, name=form.cleaned_data["name"], now=self.now)
        return f'The tag is now called "{tag.name}".'


class DeleteTag(TagAction, ConfirmAction):
    form_class = ConfirmForm
    submit_label = "Delete"

    def get_page_title(self) -> str:
        return f'Delete the tag "{self.tag.name}"'

    def get_consequences(self) -> list[str]:
        uses = (
            ("Virtual Accounts", self.tag.virtual_accounts.count()),
            ("licenses", self.tag.pools.count()),
            ("product instances", self.tag.instances.count()),
        )
        return [f"It is taken off {count} {what}." for what, count in uses if count] or ["Nothing has it."]

    def perform(self, form: forms.Form) -> str:
        delete_tag(actor=self.actor, tag=self.tag, now=self.now)
        return f'The tag "{self.tag.name}" was deleted.'
