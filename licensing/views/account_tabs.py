"""What the pages of an account's inventory have in common that span its Virtual Accounts."""

from typing import Any, ClassVar

from accounts.views.base import AccountView
from cssm.common.permissions import Permission
from cssm.common.views import Crumb
from licensing.models import DuplicateFinding

TABS = (
    ("", "Virtual Accounts"),
    ("all/subscriptions/", "License Subscriptions"),
    ("all/end-dates/", "End Dates"),
    ("all/reservations/", "Reservations"),
    ("all/usage-reports/", "Usage Reports"),
    ("all/duplicates/", "Duplicate Licenses"),
)


class AccountTab(AccountView):
    """A tab of the inventory; `tab` is the last part of its address. "all" stands where a Virtual Account's name would
    stand, so these addresses take nothing away from any Virtual Account.
    """

    permission = Permission.VIEW
    tab: ClassVar[str] = ""

    def get_page_title(self) -> str:
        return dict(TABS)[self.tab] if self.tab else "Inventory"

    def get_crumbs(self) -> list[Crumb]:
        crumbs = super().get_crumbs()
        return [*crumbs, Crumb("Inventory", self.inventory_url)] if self.tab else crumbs

    def get_context(self) -> dict[str, Any]:
        findings = DuplicateFinding.objects.visible_to(self.actor).standing().filter(smart_account=self.smart_account)
        counts = {"all/duplicates/": findings.count() or None}
        tabs = [
            {"label": label, "url": self.inventory_url + key, "current": key == self.tab, "count": counts.get(key)}
            for key, label in TABS
        ]
        return {**super().get_context(), "tabs": tabs}

    @property
    def inventory_url(self) -> str:
        return f"{self.account_url}inventory/"
