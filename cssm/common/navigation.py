"""The areas of a Smart Account, as the side navigation shows them."""

from typing import Final, NamedTuple

from django.urls import Resolver404, resolve

from cssm.common.actor import Actor
from cssm.common.permissions import Access, Permission
from cssm.common.text import mark


class Area(NamedTuple):
    key: str
    label: str


class NavItem(NamedTuple):
    key: str
    label: str
    url: str
    current: bool


AREAS: Final = (
    Area("", mark("Overview")),
    Area("inventory", mark("Inventory")),
    Area("alerts", mark("Alerts")),
    Area("reports", mark("Reports")),
    Area("onprem", mark("On-Prem Accounts")),
    Area("conversions", mark("Conversions")),
    Area("activity", mark("Activity")),
    Area("manage", mark("Manage Account")),
    Area("preferences", mark("Preferences")),
)


def areas_for(actor: Actor, *, domain: str, smart_account_id: int, path: str) -> list[NavItem]:
    """The areas that exist and that this actor may open; which ones exist, the URLs say."""
    base = f"/accounts/{domain}/"
    items: list[NavItem] = []
    for area in AREAS:
        url = f"{base}{area.key}/" if area.key else base
        permission = _permission_at(url)
        allowed = permission in (Access.PUBLIC, Access.SIGNED_IN) or (
            isinstance(permission, Permission) and actor.may_anywhere(permission, smart_account_id=smart_account_id)
        )
        if allowed:
            current = path == base if not area.key else path.startswith(url)
            items.append(NavItem(area.key or "overview", area.label, url, current))
    return items


def _permission_at(url: str) -> Permission | Access | None:
    try:
        view = resolve(url).func
    except Resolver404:
        return None
    return getattr(getattr(view, "view_class", view), "permission", None)
