"""On-prem servers: registered, listed, synchronized, removed."""

from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar
from uuid import UUID

from django.http import HttpResponse
from django.http.response import HttpResponseBase
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.api.base import AccountApiView
from cssm.common.api.description import IDEMPOTENCY_KEY, REFUSALS, REFUSALS_OF_POST, changes, reads
from cssm.common.api.fields import Answer, ErrorAnswer, PageQuery
from cssm.common.api.views import replay_mark
from cssm.common.errors import NotFound
from cssm.common.idempotency import close_call, open_call
from cssm.common.permissions import Permission
from sync.api.shapes import (
    NewName,
    Reason,
    RegistrationQuery,
    ServerAnswer,
    ServersAnswer,
    SynchronizationQuery,
    show_exchange,
    show_server,
)
from sync.api.uploads import BODY_TYPES, MULTIPART, YAML, answer_file, receive, wants_background
from sync.codecs.registration import MAX_SIZE
from sync.models import Exchange, OnPremServer
from sync.services.imports import synchronize
from sync.services.receiving import Upload
from sync.services.registration import register_server
from sync.services.servers import get_server, remove_server, rename_server
from sync.services.three_tier import hold_three_tier, release_three_tier

TAG = "on-prem servers"
REFERENCE = "application/vnd.exchange-number"
"""The type of a stored answer that names the exchange whose file it is; it never leaves this process."""


F = TypeVar("F", bound=Callable[..., Any])


def takes_file(operation: str, summary: str, *, query: Any, status: int) -> Callable[[F], F]:
    """For a POST of a file that is answered by a file."""
    refusals = {**REFUSALS, **REFUSALS_OF_POST, 415: "The body is none of the types of a file."}
    responses: dict[Any, Any] = {
        code: OpenApiResponse(ErrorAnswer, description=text) for code, text in refusals.items()
    }
    responses[(status, YAML)] = OpenApiResponse(OpenApiTypes.BINARY, description="The file to install on the server.")
    if status == 200:
        responses[202] = OpenApiResponse(OpenApiTypes.OBJECT, description="Worked on in the background.")
    body = dict.fromkeys(BODY_TYPES[:3], OpenApiTypes.BINARY)
    form = {"type": "object", "properties": {"file": {"type": "string", "format": "binary"}}}
    described: Callable[[F], F] = extend_schema(
        operation_id=operation,
        summary=summary,
        description=f"{summary}.",
        tags=[TAG],
        parameters=[IDEMPOTENCY_KEY, query],
        request={**body, MULTIPART: form},
        responses=responses,
    )
    return described


class ServerApiView(AccountApiView):
    def find_server(self, uuid: UUID) -> OnPremServer:
        permission = self.declared if isinstance(self.declared, Permission) else Permission.VIEW
        return get_server(actor=self.actor, smart_account=self.smart_account, uuid=uuid, permission=permission)

    @property
    def base(self) -> str:
        """The path of the account's calls, as this one was called."""
        head, found, _ = self.request.path.partition(f"/accounts/{self.kwargs['domain']}/")
        return head + found

    def answer_exchange(self, exchange: Exchange, *, status: int) -> HttpResponseBase:
        """Its file; what would change, for a dry run; or where to ask, while it is worked on."""
        if exchange.finished_at is None:
            url = f"{self.base}exchanges/{exchange.pk}"
            members = {"exchange": exchange.pk, "statusUrl": url, "status": "SUCCESS", "statusMessage": ""}
            return Response(members, status=202, headers={"Location": url})
        if exchange.is_dry_run:
            return self.success(difference=exchange.difference, exchange=show_exchange(exchange, self.base))
        return answer_file(exchange, status=status)

    def answer_upload(self, upload: Upload, work: Callable[[], Exchange], *, status: int) -> HttpResponseBase:
        """The answer to a file that `work` takes; with an `Idempotency-Key`, the one that the call got before.

        The key is bound to the file as it is unpacked. That a file has one effect does not rest on the key, but on the
        file's digest, which is stored with the effect: the key makes the answers equal, and refuses another file.
        """
        key = self.request.headers.get("Idempotency-Key")
        if key is None:
            return self.answer_exchange(work(), status=status)
        call = self.identify_call(key, upload.plain.digest.encode())
        answer = open_call(call, box=self.answer_box, now=self.now)
        if answer is None:
            answer = self.perform(lambda *_, **__: self._refer_to(work(), status=status))
            close_call(call, answer, box=self.answer_box, now=self.now)
        if answer.headers.get("Content-Type") != REFERENCE:
            return HttpResponse(answer.body, status=answer.status, headers={**answer.headers, **replay_mark(answer)})
        exchange = Exchange.objects.select_related("server").get(pk=int(answer.body))
        response = answer_file(exchange, status=answer.status)
        for name, value in replay_mark(answer).items():
            response.headers[name] = value
        return response

    def _refer_to(self, exchange: Exchange, *, status: int) -> HttpResponseBase:
        """As `answer_exchange`, with a reference in place of a file: that is stored with its exchange already."""
        if exchange.finished_at is None or exchange.is_dry_run:
            return self.answer_exchange(exchange, status=status)
        return HttpResponse(str(exchange.pk), status=status, content_type=REFERENCE)


class ServersView(ServerApiView):
    permission = Permission.VIEW
    post_permission = Permission.MANAGE_ASSETS
    streams_body = True

    @reads("listOnPremServers", "On-prem servers of the account", ServersAnswer, query=PageQuery, tag=TAG)
    def get(self, request: Request, domain: str) -> Response:
        servers = OnPremServer.objects.visible_to(self.actor).filter(smart_account=self.smart_account)
        rows = servers.select_related("virtual_account", "three_tier").order_by("name", "pk")
        return self.success_page("servers", rows, self.read_page(), lambda server: show_server(server, self.now))

    @takes_file("registerOnPremServer", "Register an on-prem server by its file", query=RegistrationQuery, status=201)
    def post(self, request: Request, domain: str) -> HttpResponseBase:
        wanted = self.read_query(RegistrationQuery)
        virtual_account = self.find_virtual_account(wanted["virtualAccount"])
        with receive(request._request, most=MAX_SIZE) as upload:
            work = partial(
                register_server,
                actor=self.actor,
                virtual_account=virtual_account,
                upload=upload,
                name=wanted["name"],
                confirmed=wanted["confirm"],
                now=self.now,
            )
            return self.answer_upload(upload, work, status=201)


class ServerView(ServerApiView):
    permission = Permission.VIEW

    @reads("getOnPremServer", "One on-prem server", ServerAnswer, tag=TAG)
    def get(self, request: Request, domain: str, uuid: UUID) -> Response:
        return self.success(server=show_server(self.find_server(uuid), self.now))


class SynchronizationsView(ServerApiView):
    permission = Permission.MANAGE_ASSETS
    streams_body = True

    @takes_file("synchronizeOnPremServer", "Apply a synchronization file", query=SynchronizationQuery, status=200)
    def post(self, request: Request, domain: str, uuid: UUID) -> HttpResponseBase:
        server = self.find_server(uuid)
        dry_run = self.read_query(SynchronizationQuery)["dry_run"]
        with receive(request._request) as upload:
            work = partial(
                synchronize,
                actor=self.actor,
                server=server,
                upload=upload,
                dry_run=dry_run,
                in_background=wants_background(request._request),
                now=self.now,
            )
            return self.answer_upload(upload, work, status=200)


class ServerRenameView(ServerApiView):
    permission = Permission.MANAGE_ASSETS

    @changes("renameOnPremServer", "Rename an on-prem server", ServerAnswer, body=NewName, tag=TAG)
    def post(self, request: Request, domain: str, uuid: UUID) -> Response:
        server = self.find_server(uuid)
        rename_server(actor=self.actor, server=server, name=self.read_body(NewName)["name"], now=self.now)
        return self.success(server=show_server(self.find_server(uuid), self.now))


class ServerRemovalView(ServerApiView):
    permission = Permission.MANAGE_ASSETS

    @changes("removeOnPremServer", "Remove an on-prem server with its product instances", Answer, tag=TAG)
    def post(self, request: Request, domain: str, uuid: UUID) -> Response:
        remove_server(actor=self.actor, server=self.find_server(uuid), now=self.now)
        return self.success()


class ThreeTierView(AccountApiView):
    """The operator's alone."""

    permission = Permission.OPERATE

    @changes("changeThreeTier", "Sign a 3-tier certificate early, or hold it", Answer, body=Reason, tag="operator")
    def post(self, request: Request, uuid: UUID) -> Response:
        wanted = self.read_body(Reason)
        server = OnPremServer.objects.filter(uuid=uuid).first()
        if server is None:
            raise NotFound("There is no such on-prem server.")
        change = release_three_tier if wanted["action"] == "sign" else hold_three_tier
        change(actor=self.actor, server=server, reason=wanted["reason"], now=self.now)
        return self.success()
