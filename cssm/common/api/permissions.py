"""Who gets as far as a view at all."""

from typing import Any

from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from cssm.common.actor import Actor
from cssm.common.errors import Forbidden
from cssm.common.permissions import Access, Permission


class DeclaredPermission(BasePermission):
    """Lets nobody in without a token, except to what is public, and nobody but the operator to the operator's calls.

    What a permission is held *on* is asked where the object is known: a stranger must get 404 there, not 403 here.
    """

    def has_permission(self, request: Request, view: Any) -> bool:
        declared = getattr(view, "declared", None)
        if declared is Access.PUBLIC:
            return True
        actor: object = request.user
        if not isinstance(actor, Actor) or declared is None:
            return False
        if declared is Permission.OPERATE and not actor.may(Permission.OPERATE):
            raise Forbidden("Only an operator may do this.")
        return True
