"""The base of every API view: shape in, service, shape out."""

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any, ClassVar, TypeVar, cast

from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from cssm.common.actor import NOBODY, Actor
from cssm.common.api.fields import Page, PageQuery
from cssm.common.api.parsers import is_storable
from cssm.common.clock import read_clock
from cssm.common.errors import NotFound
from cssm.common.idempotency import AnswerBox, CallIdentity, StoredAnswer, answer_once
from cssm.common.permissions import Access, Permission

M = TypeVar("M", bound=Model)
Handler = Callable[..., HttpResponseBase]

KEPT_HEADERS = ("Content-Type", "Content-Disposition")


class ApiView(APIView):
    """Subclasses declare `permission`, and `post_permission` where a POST needs another.

    Their handlers read with `read_body` or `read_query`, call one service and let its `DomainError`s pass:
    `cssm.common.api.errors` turns those into answers. A POST with an `Idempotency-Key` runs in one transaction with its
    stored answer, which `answer_box` encrypts.
    """

    permission: ClassVar[Permission | Access]
    post_permission: ClassVar[Permission | Access | None] = None
    answer_box: ClassVar[AnswerBox]
    http_method_names = ["get", "head", "post"]
    streams_body: ClassVar[bool] = False
    """A POST takes a file, which is never held whole: the view asks for answers given before once it has read it."""

    @property
    def actor(self) -> Actor:
        user: object = self.request.user
        return user if isinstance(user, Actor) else NOBODY

    @property
    def declared(self) -> Permission | Access:
        """The permission that this very call needs."""
        return (self.post_permission if self.request.method == "POST" else None) or self.permission

    @cached_property
    def now(self) -> Any:
        """One instant for the whole call."""
        return read_clock()

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """As DRF's, with room for answers that were given before."""
        self.args, self.kwargs = args, kwargs
        self.headers = self.default_response_headers
        self.request = self.initialize_request(request, *args, **kwargs)
        try:
            self.initial(self.request, *args, **kwargs)
            handler = self._handler()
            takes_key = request.method == "POST" and not self.streams_body
            key = self.request.headers.get("Idempotency-Key") if takes_key else None
            response = handler(self.request, *args, **kwargs) if key is None else self._answer_once(key, handler)
        except Exception as exc:
            response = self.handle_exception(exc)
        self.response = self.finalize_response(self.request, cast(Response, response), *args, **kwargs)
        return self.response

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        if not all(is_storable(str(value)) for value in kwargs.values()):
            raise NotFound("There is no such thing here.")
        if request.method == "POST" and not self.streams_body:
            _ = request.body  # whole, and refused where it is over the limit, before anything reads from it

    def read_body(self, shape: type[Any]) -> dict[str, Any]:
        """The body, checked against a serializer. Raises DRF's ValidationError naming every field that is wrong."""
        return self._read(shape, self.request.data)

    def read_query(self, shape: type[Any]) -> dict[str, Any]:
        return self._read(shape, self.request.query_params)

    def read_page(self) -> Page:
        """`limit` and `offset` of the query."""
        return Page(**self.read_query(PageQuery))

    def success(self, **members: Any) -> Response:
        """An answer in v1 style."""
        return Response({**members, "status": "SUCCESS", "statusMessage": ""})

    def success_page(
        self, name: str, rows: QuerySet[M, M], page: Page, show: Callable[[M], Mapping[str, Any]]
    ) -> Response:
        """One page of an ordered queryset under `name`, with the size of the whole."""
        total = rows.count()
        shown = [show(row) for row in rows[page.offset : page.offset + page.limit]]
        return self.success(totalRecords=total, **{name: shown})

    def _read(self, shape: type[Any], data: Any) -> dict[str, Any]:
        serializer = shape(data=data)
        serializer.is_valid(raise_exception=True)
        return cast(dict[str, Any], serializer.validated_data)

    def _handler(self) -> Handler:
        name = (self.request.method or "").lower()
        if name in self.http_method_names:
            return cast(Handler, getattr(self, name, self.http_method_not_allowed))
        return self.http_method_not_allowed

    def _answer_once(self, key: str, handler: Handler) -> HttpResponse:
        call = self.identify_call(key, self.request.body)
        answer = answer_once(call, lambda: self.perform(handler), box=self.answer_box, now=self.now)
        headers = {**answer.headers, **replay_mark(answer)}
        return HttpResponse(answer.body, status=answer.status, headers=headers)

    def identify_call(self, key: str, body: bytes) -> CallIdentity:
        """What an `Idempotency-Key` of this call is bound to."""
        client = f"{self.actor.kind}:{self.actor.id}"
        return CallIdentity(client=client, path=self.request.get_full_path(), key=key, body=body)

    def perform(self, handler: Handler) -> StoredAnswer:
        """The handler's answer, also where it refuses, as it can be stored."""
        try:
            response = handler(self.request, *self.args, **self.kwargs)
        except Exception as exc:
            response = self.handle_exception(exc)
        finished = self.finalize_response(self.request, cast(Response, response))
        if isinstance(finished, Response):
            finished.render()
        headers = {name: finished.headers[name] for name in KEPT_HEADERS if name in finished.headers}
        return StoredAnswer(status=finished.status_code, body=cast(HttpResponse, finished).content, headers=headers)


def replay_mark(answer: StoredAnswer) -> dict[str, str]:
    return {"Idempotent-Replayed": "true"} if answer.is_repeated else {}


class UnknownCall(ApiView):
    """Every URL below the API's prefixes that is none of its calls: JSON there too, never a page."""

    permission = Access.PUBLIC
    authentication_classes = ()
    http_method_names = ["get", "head", "post", "put", "patch", "delete", "options"]
    schema = None

    def _handler(self) -> Handler:
        return self._unknown

    def _unknown(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        raise NotFound("There is no such call. See /api/docs/.")
