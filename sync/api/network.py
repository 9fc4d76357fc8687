"""Where on-prem servers synchronize by themselves."""

import hashlib
from collections.abc import Iterator
from contextlib import ExitStack
from http import HTTPStatus
from typing import Any, Final
from uuid import UUID

from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.http.response import HttpResponseBase
from django.utils.decorators import method_decorator
from django.views import View
from django.views.decorators.csrf import csrf_exempt

from cssm.common.api.errors import problem_of, write_problem
from cssm.common.clock import read_clock
from cssm.common.errors import DomainError
from cssm.common.middleware import correlation_id_of
from cssm.common.permissions import Access
from sync.api.uploads import BODY_TYPES, answer_file, read_chunks, wants_background
from sync.errors import FileCode
from sync.models import Exchange
from sync.services.imports import synchronize
from sync.services.network import Call, NotProven, prove_caller
from sync.services.receiving import Upload, receive_upload
from sync.services.servers import actor_of_server

STATUS_BASE: Final = "/services/api/smart-accounts-and-licensing/v1/accounts/"


@method_decorator(csrf_exempt, name="dispatch")
class NetworkSynchronizationView(View):
    """The body is the file. The server proves itself by its key in the headers, so there is nobody to sign in."""

    permission = Access.PUBLIC
    http_method_names = ["post"]

    def post(self, request: HttpRequest, uuid: UUID) -> HttpResponseBase:
        if request.content_type not in BODY_TYPES:
            return _refuse(request, HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "UNSUPPORTED_MEDIA_TYPE", "Send a file.")
        length = request.META.get("CONTENT_LENGTH") or "0"
        if length.isdecimal() and int(length) > settings.MAX_UPLOAD_BYTES:
            message = f"The file has more than {settings.MAX_UPLOAD_BYTES} bytes."
            return _refuse(request, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, FileCode.TOO_LARGE.value, message)
        digest, now = hashlib.sha256(), read_clock()
        with ExitStack() as stack:
            upload: Upload | DomainError
            chunks = _digested(read_chunks(request), digest)
            try:
                upload = stack.enter_context(receive_upload(chunks))
            except DomainError as error:
                upload = error
                for _ in chunks:  # the caller's proof covers the whole body
                    pass
            try:
                call = Call(
                    method=request.method or "",
                    path=request.path,
                    timestamp=request.headers.get("X-OnPrem-Timestamp", ""),
                    body_digest=digest.hexdigest(),
                    signature=request.headers.get("X-OnPrem-Signature", ""),
                )
                server = prove_caller(uuid=uuid, call=call, now=now)
            except NotProven:
                return HttpResponse(status=HTTPStatus.UNAUTHORIZED)
            try:
                if isinstance(upload, DomainError):
                    raise upload
                exchange = synchronize(
                    actor=actor_of_server(server),
                    server=server,
                    upload=upload,
                    in_background=wants_background(request),
                    now=now,
                )
            except DomainError as error:
                problem = problem_of(error)
                body = {**write_problem(problem), "correlationId": correlation_id_of(request)}
                return JsonResponse(body, status=problem.status)
        if exchange.finished_at is None:
            return _answer_open(exchange)
        return answer_file(exchange)


def _answer_open(exchange: Exchange) -> JsonResponse:
    """The same bytes again are answered by the response once it is there; programs with a token may ask `statusUrl`."""
    url = f"{STATUS_BASE}{exchange.smart_account.domain}/exchanges/{exchange.pk}"
    body = {"exchange": exchange.pk, "statusUrl": url, "status": "SUCCESS", "statusMessage": ""}
    return JsonResponse(body, status=202, headers={"Location": url})


def _digested(chunks: Iterator[bytes], digest: Any) -> Iterator[bytes]:
    for chunk in chunks:
        digest.update(chunk)
        yield chunk


def _refuse(request: HttpRequest, status: HTTPStatus, code: str, message: str) -> JsonResponse:
    rows = [{"line": 0, "key": "", "code": code, "message": message}]
    body = {"status": "ERROR", "statusMessage": message, "code": code, "errors": rows}
    return JsonResponse({**body, "correlationId": correlation_id_of(request)}, status=status)
