"""The way in: to the account last looked at, and from one account to another."""

from typing import Any, Final

from django.http import HttpRequest, HttpResponseBase

from accounts.models import AccessRequest, SmartAccount
from cssm.common.permissions import Access, Permission
from cssm.common.views import PortalView

MOST_IN_SWITCHER: Final = 30


class Home(PortalView):
    """`/`: the account last looked at, else the first; for an operator without any the operator area."""

    permission = Access.SIGNED_IN
    page_title = "Welcome"
    template_name = "portal/welcome.html"

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        own = SmartAccount.objects.filter(pk__in={grant.smart_account_id for grant in self.actor.grants})
        domains = list(own.order_by("name", "pk").values_list("domain", flat=True)[:200])
        last = request.session.get("last_account")
        if last in domains:
            return self.redirect(f"/accounts/{last}/")
        if domains:
            return self.redirect(f"/accounts/{domains[0]}/")
        if self.actor.may(Permission.OPERATE):
            return self.redirect("/operator/")
        requests = AccessRequest.objects.made_by(self.actor).order_by("-created_at", "-pk")[:10]
        return self.render(context={"requests": requests})


class Switcher(PortalView):
    """The list in the account switcher, fetched when it is opened or typed into."""

    permission = Access.SIGNED_IN
    page_title = "Smart Accounts"

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        accounts = SmartAccount.objects.visible_to(self.actor).order_by("name", "pk")
        search = request.GET.get("account", "").strip()[:100]
        if search:
            accounts = accounts.filter(name__icontains=search) | accounts.filter(domain__icontains=search)
        found = list(accounts[: MOST_IN_SWITCHER + 1])
        context = {
            "accounts": found[:MOST_IN_SWITCHER],
            "more": len(found) > MOST_IN_SWITCHER,
            "search": search,
            "listing": "account" in request.GET,
        }
        if self.wants_part:
            return self.render_part("portal/_switcher.html", context)
        return self.render("portal/accounts.html", context)
