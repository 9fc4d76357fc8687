"""Puts the actor on the request."""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponseBase
from django.utils.functional import SimpleLazyObject

from accounts.services.actors import actor_for_user
from cssm.common.actor import NOBODY, Actor


class ActorMiddleware:
    """`request.actor` is looked up when first used, so requests of devices cost no query."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        request.actor = SimpleLazyObject(lambda: _actor_of(request))  # type: ignore[attr-defined]  # our own attribute
        return self.get_response(request)


def _actor_of(request: HttpRequest) -> Actor:
    user = request.user
    return actor_for_user(user) if user.is_authenticated else NOBODY
