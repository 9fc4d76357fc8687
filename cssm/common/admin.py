"""Django admin for inspection only: changes go through services."""

from typing import TYPE_CHECKING, Any

from django.apps import apps
from django.contrib import admin
from django.db import models
from django.http import HttpRequest

if TYPE_CHECKING:
    _Base = admin.ModelAdmin[models.Model]
else:
    _Base = admin.ModelAdmin  # generic in the stubs only


class ReadOnlyAdmin(_Base):
    """Shows every plain field, allows no change, and never shows what may hold a secret."""

    secret_fields: tuple[str, ...] = ()

    def get_list_display(self, request: HttpRequest) -> list[Any]:
        return [field for field in self._shown_fields() if field not in ("data",)][:8]

    def get_fields(self, request: HttpRequest, obj: models.Model | None = None) -> list[Any]:
        return self._shown_fields()

    def get_readonly_fields(self, request: HttpRequest, obj: models.Model | None = None) -> list[str]:
        return self._shown_fields()

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        return False

    def has_view_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        return bool(request.user.is_active and getattr(request.user, "is_staff", False))

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self.has_view_permission(request)

    def _shown_fields(self) -> list[str]:
        return [
            field.name
            for field in self.model._meta.concrete_fields
            if not isinstance(field, models.BinaryField) and field.name not in (*self.secret_fields, "password")
        ]


def register_read_only(app_label: str, *, secret_fields: dict[str, tuple[str, ...]] | None = None) -> None:
    """Register every model of an app for inspection."""
    for model in apps.get_app_config(app_label).get_models():
        attributes: dict[str, Any] = {"secret_fields": (secret_fields or {}).get(model.__name__, ())}
        admin.site.register(model, type(f"{model.__name__}Admin", (ReadOnlyAdmin,), attributes))
