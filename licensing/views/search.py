"""`/accounts/<domain>/search/`: one box for everything that has a name."""

from typing import Any, Final, NamedTuple
from urllib.parse import quote, urlencode

from accounts.models import VirtualAccount
from accounts.views.base import AccountView
from cssm.common.permissions import Permission
from cssm.common.text import Badge
from cssm.common.views import PageView
from licensing.models import Pool, ProductInstance
from licensing.services.devices.search import MAX_TEXT, Findings, Group, search_account
from licensing.states import InstanceState

FEW: Final = 8
MANY: Final = 50
MAX_PAGE: Final = 1000
TITLES: Final[dict[Group, tuple[str, str]]] = {
    Group.VIRTUAL_ACCOUNTS: ("Virtual Accounts", "inventory"),
    Group.LICENSES: ("Licenses", "license"),
    Group.INSTANCES: ("Product Instances", "device"),
}


class Result(NamedTuple):
    """One line: what it is called, where it leads, and what else helps to know it again."""

    label: str
    url: str
    opens_dialog: bool
    note: str
    tags: list[str]
    badge: Badge | None


class Search(AccountView, PageView):
    """Some of each group; all of one with `in`, page by page."""

    permission = Permission.VIEW
    page_title = "Search"
    template_name = "licensing/search.html"

    def get_context(self) -> dict[str, Any]:
        text = " ".join(self.request.GET.get("q", "").replace("\x00", "").split())[:MAX_TEXT]
        only = next((group for group in Group if group == self.request.GET.get("in")), None)
        page, limit = self._page() if only else 1, MANY if only else FEW
        found = search_account(
            actor=self.actor,
            smart_account=self.smart_account,
            text=text,
            groups=[only] if only else tuple(Group),
            limit=limit,
            offset=(page - 1) * limit,
        )
        return {
            **super().get_context(),
            "search_text": text,
            "groups": [self._show(findings, text, page, bool(only)) for findings in found if findings.rows],
            "all_groups_url": f"?{urlencode({'q': text})}" if only else "",
        }

    def _page(self) -> int:
        given = self.request.GET.get("page", "1")
        return min(max(int(given), 1), MAX_PAGE) if given.isascii() and given.isdecimal() and len(given) < 6 else 1

    def _show(self, found: Findings, text: str, page: int, is_only: bool) -> dict[str, Any]:
        title, icon = TITLES[found.group]
        address = {"q": text, "in": found.group.value}
        return {
            "key": found.group.value,
            "title": title,
            "icon": icon,
            "results": [self._describe(row, found.tags.get(row.pk, [])) for row in found.rows],
            "all_url": f"?{urlencode(address)}" if found.has_more and not is_only else "",
            "next_url": f"?{urlencode({**address, 'page': page + 1})}" if found.has_more and is_only else "",
            "previous_url": f"?{urlencode({**address, 'page': page - 1})}" if page > 1 else "",
        }

    def _describe(self, row: VirtualAccount | Pool | ProductInstance, tags: list[str]) -> Result:
        if isinstance(row, VirtualAccount):
            return Result(row.name, f"{self._va_url(row)}general/", False, row.description, tags, None)
        url = self._va_url(row.virtual_account)
        if isinstance(row, Pool):
            note = f"{row.license.tag} in {row.virtual_account.name}"
            return Result(row.license.display_name, f"{url}licenses/{row.pk}/", True, note, tags, None)
        state = InstanceState(row.state).badge
        note = f"{row.udi} in {row.virtual_account.name}"
        return Result(row.hostname or row.udi, f"{url}instances/{row.piid}/", True, note, tags, state)

    def _va_url(self, row: VirtualAccount) -> str:
        return f"{self.account_url}inventory/{quote(row.name, safe='')}/"
