"""A system check that refuses a page or a call of ours that does not say who may use it."""

from collections.abc import Iterator, Sequence
from typing import Any, Final

from django.apps import AppConfig
from django.core.checks import CheckMessage, Error, register
from django.urls import URLPattern, URLResolver, get_resolver

from cssm.common.permissions import Access, Permission

# Views from elsewhere look after themselves. Everything else is ours, wherever it was defined.
FOREIGN_MODULES: Final = (
    "allauth.",
    "django.contrib.admin.",
    "django.contrib.contenttypes.",
    "django.contrib.staticfiles.",
    "django.views.",
    "django_prometheus.",
    "drf_spectacular.",
    "oauth2_provider.",
)


def walk_views(patterns: Sequence[Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every (route, view) below the patterns; class-based views as their class."""
    for pattern in patterns:
        route = f"{prefix}{pattern.pattern}"
        if isinstance(pattern, URLResolver):
            yield from walk_views(pattern.url_patterns, route)
        elif isinstance(pattern, URLPattern):
            callback = pattern.callback
            yield route, getattr(callback, "view_class", None) or getattr(callback, "cls", None) or callback


def is_foreign(view: Any) -> bool:
    return f"{getattr(view, '__module__', '')}.".startswith(FOREIGN_MODULES)


@register()
def every_view_declares_its_permission(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """cssm.E001: a view without `permission` could be forgotten when rights are thought about."""
    return [
        Error(
            f"The view {getattr(view, '__qualname__', view)!s} at '/{route}' declares no permission.",
            hint="Set `permission` to a member of Permission, or to Access.SIGNED_IN or Access.PUBLIC.",
            obj=getattr(view, "__module__", None),
            id="cssm.E001",
        )
        for route, view in walk_views(get_resolver().url_patterns)
        if not is_foreign(view) and not isinstance(getattr(view, "permission", None), Permission | Access)
    ]
