"""Where the API answers: one list of calls below every prefix that programs in the field use.

The apps list their calls by version, below the version: `accounts.api.urls.v1`. What no call answers below these
prefixes is refused as JSON, for no program can read a page.
"""

from typing import Final

from django.urls import URLPattern, URLResolver, include, path, re_path

import accounts.api.urls
import alerts.api.urls
import licensing.api.urls
import sync.api.urls
from cssm.api.schema import DocumentationView, SchemaView
from cssm.api.token_front import TokenFront
from cssm.common.api.views import UnknownCall

Patterns = list[URLPattern | URLResolver]

BASE: Final = "services/api/smart-accounts-and-licensing/"
OTHER_BASES: Final = (
    "services/api/services/api/smart-accounts-and-licensing/",
    "/services/api/smart-accounts-and-licensing/",
    "/services/api/services/api/smart-accounts-and-licensing/",
)
V1_BASES: Final = ("api/v1/", "backend/api/v1/", "/api/v1/", "/backend/api/v1/")
TOKEN_PATHS: Final = ("as/token.oauth2", "oauth2/default/v1/token", "oauth/token", "backend/oauth/token")

v1: Patterns = [*accounts.api.urls.v1, *alerts.api.urls.v1, *licensing.api.urls.v1, *sync.api.urls.v1]
v2: Patterns = [*accounts.api.urls.v2, *licensing.api.urls.v2]
v3: Patterns = [*licensing.api.urls.v3]

calls: Patterns = [path("v1/", include(v1)), path("v2/", include(v2)), path("v3/", include(v3))]

urlpatterns: Patterns = [
    *(path(token_path, TokenFront.as_view()) for token_path in TOKEN_PATHS),
    path("api/schema/", SchemaView.as_view(), name="api-schema"),
    path("api/docs/", DocumentationView.as_view(), name="api-docs"),
    path(BASE, include((calls, "api"))),
    *(path(base, include(calls)) for base in OTHER_BASES),
    *(path(base, include(v1)) for base in V1_BASES),
    re_path(r"^(?:/)?(?:services/|backend/)?api(?:/.*)?$", UnknownCall.as_view()),
]
