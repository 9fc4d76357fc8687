"""Exchanges: how far a file is, what it changed, both of its files."""

from uuid import UUID

from django.http.response import HttpResponseBase
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from cssm.common.api.description import changes, reads
from cssm.common.api.fields import PageQuery
from cssm.common.permissions import Permission
from sync.api.servers import TAG, ServerApiView
from sync.api.shapes import (
    ChangesAnswer,
    ChangesQuery,
    ExchangeAnswer,
    ExchangesAnswer,
    show_change,
    show_exchange,
)
from sync.api.uploads import YAML, answer_file
from sync.models import Exchange
from sync.services.changes import ChangedRows
from sync.services.comparisons import apply_compared
from sync.services.exchanges import get_exchange
from sync.services.queue import cancel_exchange
from sync.states import Side


class ExchangeApiView(ServerApiView):
    def find_exchange(self, key: int) -> Exchange:
        permission = self.declared if isinstance(self.declared, Permission) else Permission.VIEW
        return get_exchange(actor=self.actor, smart_account=self.smart_account, key=key, permission=permission)


class ServerExchangesView(ExchangeApiView):
    permission = Permission.VIEW

    @reads(
        "listExchanges",
        "Files exchanged with an on-prem server, newest first",
        ExchangesAnswer,
        query=PageQuery,
        tag=TAG,
    )
    def get(self, request: Request, domain: str, uuid: UUID) -> Response:
        rows = Exchange.objects.filter(server=self.find_server(uuid)).select_related("server").order_by("-pk")
        return self.success_page("exchanges", rows, self.read_page(), lambda row: show_exchange(row, self.base))


class ExchangeView(ExchangeApiView):
    permission = Permission.VIEW

    @reads("getExchange", "How far a file is, and what it changed", ExchangeAnswer, tag=TAG)
    def get(self, request: Request, domain: str, exchange: int) -> Response:
        return self.success(exchange=show_exchange(self.find_exchange(exchange), self.base))


class ExchangeFileView(ExchangeApiView):
    """Files hold certificates and names of devices: they are for whoever may manage the server."""

    permission = Permission.MANAGE_ASSETS

    @extend_schema(
        summary="One of the two files of an exchange",
        description="One of the two files of an exchange, for 90 days.",
        tags=[TAG],
        responses={(200, YAML): OpenApiResponse(OpenApiTypes.BINARY, description="The file.")},
    )
    def get(self, request: Request, domain: str, exchange: int, side: str) -> HttpResponseBase:
        return answer_file(self.find_exchange(exchange), side=Side(side))


class ExchangeCancelView(ExchangeApiView):
    permission = Permission.MANAGE_ASSETS

    @changes("cancelExchange", "Give up a file that is not being applied yet", ExchangeAnswer, tag=TAG)
    def post(self, request: Request, domain: str, exchange: int) -> Response:
        found = cancel_exchange(actor=self.actor, exchange=self.find_exchange(exchange), now=self.now)
        return self.success(exchange=show_exchange(found, self.base))


class ExchangeChangesView(ExchangeApiView):
    permission = Permission.VIEW

    @reads(
        "listExchangeChanges",
        "Every product instance that a file changes, or would change",
        ChangesAnswer,
        query=ChangesQuery,
        tag=TAG,
    )
    def get(self, request: Request, domain: str, exchange: int) -> Response:
        query = self.read_query(ChangesQuery)
        rows = ChangedRows(self.find_exchange(exchange), query["change"].lower())
        shown = rows[query["offset"] : query["offset"] + query["limit"]]
        return self.success(totalRecords=len(rows), changes=[show_change(row) for row in shown])


class ExchangeApplyView(ExchangeApiView):
    """Sent twice, the file itself says that it is the same call."""

    permission = Permission.MANAGE_ASSETS
    streams_body = True

    @changes("applyExchange", "Apply the file of a dry run, without sending it again", ExchangeAnswer, tag=TAG)
    def post(self, request: Request, domain: str, exchange: int) -> Response:
        applied = apply_compared(actor=self.actor, exchange=self.find_exchange(exchange), now=self.now)
        return self.success(exchange=show_exchange(applied, self.base))
