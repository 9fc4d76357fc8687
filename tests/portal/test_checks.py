import types
from typing import Any

import pytest
from django.contrib import admin
from django.http import HttpResponse
from django.urls import include, path, set_urlconf
from django.views import View

from cssm.common.checks import every_view_declares_its_permission
from cssm.common.permissions import Access, Permission
from cssm.common.views import PortalView


class Forgotten(PortalView):
    pass


class Mistaken(View):
    permission = "view"


class Declared(PortalView):
    permission = Permission.VIEW


def forgotten_function(request: Any) -> HttpResponse:
    return HttpResponse()


def public_function(request: Any) -> HttpResponse:
    return HttpResponse()


public_function.permission = Access.PUBLIC


def errors_of(settings: Any, *patterns: Any) -> list[str]:
    urls = types.ModuleType("some_urls")
    urls.urlpatterns = list(patterns)
    settings.ROOT_URLCONF = urls
    set_urlconf(None)
    return [error.msg for error in every_view_declares_its_permission(None)]


@pytest.mark.parametrize("view", [Forgotten.as_view(), Mistaken.as_view(), forgotten_function, lambda request: None])
def test_a_view_without_a_permission_is_refused(settings: Any, view: Any):
    (error,) = errors_of(settings, path("a/", include([path("b/", view)])))
    assert "'/a/b/' declares no permission" in error


def test_views_that_declare_and_those_of_others_are_allowed(settings: Any):
    assert errors_of(settings, path("a/", Declared.as_view()), path("b/", public_function)) == []
    assert errors_of(settings, path("admin/", admin.site.urls), path("", include("allauth.urls"))) == []
