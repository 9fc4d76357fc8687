"""Reads that start from what the actor may see."""

from typing import Self, TypeVar

from django.db import models
from django.db.models import Q

from cssm.common.actor import Actor
from cssm.common.permissions import Permission

M = TypeVar("M", bound=models.Model, covariant=True)


class TenantQuerySet(models.QuerySet[M]):
    """For models with `smart_account_id` and `virtual_account_id`: scoping is a filter, never a join."""

    smart_account_field = "smart_account_id"
    virtual_account_field: str | None = "virtual_account_id"

    def visible_to(self, actor: Actor, permission: Permission = Permission.VIEW) -> Self:
        """Rows on which the actor holds the permission."""
        scope = actor.scope(permission)
        if scope.everything:
            return self.all()
        allowed = Q(pk__in=())
        if scope.smart_account_ids:
            allowed |= Q(**{f"{self.smart_account_field}__in": scope.smart_account_ids})
        if scope.virtual_account_ids and self.virtual_account_field is not None:
            allowed |= Q(**{f"{self.virtual_account_field}__in": scope.virtual_account_ids})
        return self.filter(allowed)
