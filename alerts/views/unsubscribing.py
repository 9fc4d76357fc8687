"""The link at the foot of every mail. It works without signing in: holding the mail is the right to stop it."""

from typing import Any

from django.http import HttpRequest, HttpResponseBase
from django.utils.decorators import method_decorator
from django.views.decorators.csrf import csrf_exempt

from alerts.services.unsubscribing import read_unsubscribe_token, unsubscribe
from cssm.common.permissions import Access
from cssm.common.views import PortalView


# RFC 8058: the mail provider posts without cookies, so the signed token and not a CSRF token is what authenticates.
@method_decorator(csrf_exempt, name="dispatch")
class Unsubscribe(PortalView):
    """GET only asks, for mail scanners follow links; POST stops, and answers 200 also the second time."""

    permission = Access.PUBLIC
    page_title = "Unsubscribe"

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        leaving = read_unsubscribe_token(kwargs["token"])
        return self.render("alerts/unsubscribe.html", {"stops": leaving.stops})

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        unsubscribe(token=kwargs["token"], now=self.now)
        return self.render("alerts/unsubscribed.html")
