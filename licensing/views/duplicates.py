"""Duplicate Licenses: what was found, why, and its removal, with a look at what would come of it first."""

from typing import Any, Final

from django import forms
from django.db.models import BigIntegerField, OuterRef, QuerySet, Subquery, Sum, Value
from django.db.models.functions import Coalesce
from django.http import HttpResponse
from django.utils.functional import cached_property

from accounts.views.base import AccountView
from cssm.common.permissions import Permission
from cssm.common.table_views import ChoiceFilter, TableFilter, TableView
from cssm.common.tables import BulkAction
from cssm.common.views import ConfirmAction, Crumb, SelectionAction
from licensing.models import DuplicateFinding, Usage
from licensing.querysets.devices import DuplicateFindingQuerySet
from licensing.services.insight.cleaning import Preview, preview_removal, remove_duplicates
from licensing.states import DuplicateKind
from licensing.tables.duplicates import DuplicateTable, name_of
from licensing.views.account_tabs import AccountTab
from licensing.views.subscriptions import VirtualAccountChoice

SHOWN_ROWS: Final = 50
NOTE: Final = (
    "Each of these may take licenses that another instance takes already. Removing one frees what it uses; a product"
    " that is still there learns of it with its next message and registers anew. What an on-prem server reports cannot"
    " be removed here: remove it on the server."
)


class DuplicateFilter(TableFilter):
    search_fields = ("instance__udi", "instance__hostname", "virtual_account__name")

    virtual_account = VirtualAccountChoice()
    kind = ChoiceFilter(label="Kind", choices=[(kind.value, kind.label) for kind in DuplicateKind], empty_label="All")


class Duplicates(AccountTab, TableView):
    permission = Permission.VIEW
    tab = "all/duplicates/"
    table_class = DuplicateTable
    filter_class = DuplicateFilter
    template_name = "licensing/account_tab.html"

    def get_queryset(self) -> QuerySet[DuplicateFinding]:
        counted = Usage.objects.counted().filter(instance=OuterRef("instance")).order_by().values("instance")
        units = counted.annotate(total=Sum("quantity")).values("total")
        return (
            DuplicateFinding.objects.visible_to(self.actor)
            .standing()
            .filter(smart_account=self.smart_account)
            .select_related(
                "virtual_account",
                "instance__contact",
                "instance__origin",
                "instance__virtual_account",
                "other__origin",
                "other__virtual_account",
            )
            .annotate(units=Coalesce(Subquery(units), Value(0), output_field=BigIntegerField()))
        )

    def get_table_kwargs(self) -> dict[str, Any]:
        return {"actor": self.actor, "account_url": self.account_url}

    def get_bulk_actions(self) -> list[BulkAction]:
        url = f"{self.inventory_url}all/duplicates/remove/"
        return [BulkAction("Remove", url, "trash")] if self.may(Permission.MANAGE_ASSETS) else []

    def get_context(self) -> dict[str, Any]:
        return {**super().get_context(), "note": NOTE}


class RemoveDuplicates(AccountView, SelectionAction, ConfirmAction):
    """Shows what removing the chosen instances would free, then removes them, each by itself."""

    permission = Permission.MANAGE_ASSETS
    page_title = "Remove duplicates?"
    submit_label = "Remove"
    dialog_template = "licensing/_remove_duplicates_dialog.html"
    page_template = "licensing/remove_duplicates.html"

    def get_success_url(self) -> str:
        return f"{self.account_url}inventory/all/duplicates/"

    def get_crumbs(self) -> list[Crumb]:
        inventory = Crumb("Inventory", f"{self.account_url}inventory/")
        return [*super().get_crumbs(), inventory, Crumb("Duplicate Licenses", self.get_success_url())]

    @cached_property
    def findings(self) -> DuplicateFindingQuerySet:
        """Those chosen that the person sees; the service asks for the right on each."""
        keys = [int(key) for key in self.selected if key.isascii() and key.isdecimal() and len(key) < 19]
        own = DuplicateFinding.objects.visible_to(self.actor).standing().filter(smart_account=self.smart_account)
        return own.filter(pk__in=keys)

    def show(self, form: forms.Form, *, status: int = 200) -> HttpResponse:
        self.preview: Preview = preview_removal(actor=self.actor, findings=self.findings, now=self.now)
        return super().show(form, status=status)

    def get_context(self) -> dict[str, Any]:
        context = super().get_context()
        if not hasattr(self, "preview"):
            return context
        removable = [row for row in self.preview.rows if not row.refusal]
        return {
            **context,
            "removable_count": len(removable),
            "removable": [(row, name_of(row.instance)) for row in removable[:SHOWN_ROWS]],
            "removable_more": max(0, len(removable) - SHOWN_ROWS),
            "kept": [(row, name_of(row.instance)) for row in self.preview.rows if row.refusal][:SHOWN_ROWS],
            "effects": [
                (effect, effect.before.status.badge, effect.after.status.badge)
                for effect in self.preview.effects[:SHOWN_ROWS]
            ],
        }

    def perform(self, form: forms.Form) -> HttpResponse:
        results = remove_duplicates(actor=self.actor, findings=self.findings, now=self.now)
        context = {
            "page_title": "Duplicates removed",
            "results": [(result, name_of(result.instance)) for result in results],
            "removed": sum(result.removed for result in results),
            "gone": len(self.selected) - len(results),
            "back_url": self.get_success_url(),
        }
        template = (
            "licensing/_duplicates_removed_dialog.html" if self.wants_part else "licensing/duplicates_removed.html"
        )
        return self.render(template, context)
