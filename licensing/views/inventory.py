"""The inventory: all Virtual Accounts, and what the four tabs of one have in common."""

from typing import Any

from django.db.models import Count, Q, QuerySet

from accounts.models import VirtualAccount
from accounts.tables import TaggedFilter
from accounts.views.base import VirtualAccountView
from cssm.common.permissions import Permission
from cssm.common.table_views import TableView
from cssm.common.tables import BulkAction
from cssm.common.views import PageView
from licensing.models import IdToken, Pool, ProductInstance
from licensing.states import ACTIVE_STATES, Compliance
from licensing.tables.accounts import VirtualAccountTable
from licensing.views.account_tabs import AccountTab


class VirtualAccountFilter(TaggedFilter):
    search_fields = ("name", "description")


class Inventory(AccountTab, TableView):
    """Every Virtual Account that the person may see, with what runs short in it."""

    permission = Permission.VIEW
    table_class = VirtualAccountTable
    filter_class = VirtualAccountFilter
    template_name = "licensing/account_tab.html"

    def get_queryset(self) -> QuerySet[VirtualAccount]:
        short = Count("pools", filter=Q(pools__status=Compliance.OUT_OF_COMPLIANCE), distinct=True)
        return (
            VirtualAccount.objects.live()
            .visible_to(self.actor)
            .filter(smart_account=self.smart_account)
            .annotate(
                license_count=Count("pools", distinct=True),
                short_count=short,
                instance_count=Count("instances", filter=Q(instances__state__in=ACTIVE_STATES), distinct=True),
            )
            .prefetch_related("tags")
            .order_by("-is_default", "name")
        )

    def get_table_kwargs(self) -> dict[str, Any]:
        return {"account_url": self.account_url, "may_tag": self.may(Permission.MANAGE_VIRTUAL_ACCOUNTS)}

    def get_bulk_actions(self) -> list[BulkAction]:
        url = f"{self.account_url}tags/virtual-accounts/"
        return [BulkAction("Tag", url, "tag")] if self.may(Permission.MANAGE_VIRTUAL_ACCOUNTS) else []


class InventoryTab(VirtualAccountView, PageView):
    """A tab of one Virtual Account; `tab` is the last part of its address."""

    permission = Permission.VIEW
    tab: str = ""
    TABS = (
        ("general", "General"),
        ("licenses", "Licenses"),
        ("instances", "Product Instances"),
        ("events", "Event Log"),
    )

    def get_page_title(self) -> str:
        return self.virtual_account.name

    def get_context(self) -> dict[str, Any]:
        counts = {
            "general": IdToken.objects.filter(virtual_account=self.virtual_account).usable_at(self.now).count(),
            "licenses": Pool.objects.filter(virtual_account=self.virtual_account).count(),
            "instances": ProductInstance.objects.filter(virtual_account=self.virtual_account).active().count(),
        }
        tabs = [
            {"label": label, "url": self.tab_url(key), "current": key == self.tab, "count": counts.get(key)}
            for key, label in self.TABS
        ]
        return {
            **super().get_context(),
            "tabs": tabs,
            "lead": self.virtual_account.description,
            "may_manage": self.may(Permission.MANAGE_ASSETS),
            "va_url": self.va_url,
        }


class InventoryHome(VirtualAccountView, PageView):
    """The address of a Virtual Account itself leads to its first tab."""

    permission = Permission.VIEW

    def get(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        return self.redirect(self.tab_url("general"))
