"""The OpenAPI description of the API, and the pages that show it."""

from collections.abc import Sequence
from typing import Any, Final

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView

from cssm.common.permissions import Access

CANONICAL_BASE: Final = "/services/api/smart-accounts-and-licensing/"

Endpoint = tuple[str, str, str, Any]


def keep_canonical_paths(endpoints: Sequence[Endpoint]) -> list[Endpoint]:
    """One path for each call; the other prefixes that programs use lead to the same calls."""
    return [endpoint for endpoint in endpoints if endpoint[0].startswith(CANONICAL_BASE)]


class BearerScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]  # the library has no types
    target_class = "accounts.api.authentication.BearerAuthentication"
    name = "clientCredentials"

    def get_security_definition(self, auto_schema: AutoSchema) -> dict[str, Any]:
        return {
            "type": "oauth2",
            "flows": {"clientCredentials": {"tokenUrl": "/oauth/token", "scopes": {}}},
        }


class SchemaView(SpectacularAPIView):
    permission = Access.PUBLIC


class DocumentationView(SpectacularSwaggerSplitView):
    """Page and script are two requests of the same URL, so that the page needs no inline script."""

    permission = Access.PUBLIC
    template_name = "api/docs.html"
    url_name = "api-schema"
