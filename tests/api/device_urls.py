"""A device URL whose view tells what it saw."""

from typing import cast

from django.http import HttpRequest, HttpResponse
from django.urls import path

from cssm.common.middleware import PortalRequest


def tell_address(request: HttpRequest) -> HttpResponse:
    assert request.resolver_match is not None
    return HttpResponse(cast(PortalRequest, request).client_ip)


urlpatterns = [path("licservice/license", tell_address)]
