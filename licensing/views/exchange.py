"""Where devices post their messages (Smart Transport)."""

import json
from datetime import datetime
from http import HTTPStatus
from typing import Final

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.utils.decorators import method_decorator
from django.views import View
from django.views.decorators.csrf import csrf_exempt

from cssm.common.clock import read_clock
from cssm.common.middleware import correlation_id_of
from cssm.common.permissions import Access
from licensing.codecs.device_message import OuterFormInvalid, body_limit
from licensing.services.exchange.dispatch import answer_message

JSON: Final = "application/json"


@method_decorator(csrf_exempt, name="dispatch")
class DeviceMessageView(View):
    """One signed message, one signed answer. Devices prove themselves by their keys, so there is nobody to sign in."""

    permission = Access.PUBLIC
    http_method_names = ["post"]

    def post(self, request: HttpRequest) -> HttpResponse:
        if request.content_type != JSON:
            return _refuse(request, HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"The Content-Type must be {JSON}.")
        body = read_body(request)
        if body is None:
            return _refuse(request, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, _too_long())
        status, content = take_message(
            body, source_ip=source_of(request), correlation_id=correlation_id_of(request), now=read_clock()
        )
        # Devices' addresses pass by the middleware that would say how long it is.
        return HttpResponse(content, content_type=JSON, headers={"Content-Length": str(len(content))}, status=status)

    def http_method_not_allowed(self, request: HttpRequest, *args: object, **kwargs: object) -> HttpResponse:
        response = _refuse(request, HTTPStatus.METHOD_NOT_ALLOWED, "Products post their messages here.")
        response.headers["Allow"] = "POST"
        return response


def take_message(body: bytes, *, source_ip: str, correlation_id: str, now: datetime) -> tuple[HTTPStatus, bytes]:
    """The status of the answer to what was posted as a message, and its body in JSON."""
    if is_too_long(body, body):
        return _describe(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, _too_long(), correlation_id)
    try:
        return HTTPStatus.OK, answer_message(body=body, source_ip=source_ip, now=now)
    except OuterFormInvalid as error:
        place = f" (at {error.where})" if error.where else ""
        message = f"This is not a device message: {error.message}{place}."
        return _describe(HTTPStatus.BAD_REQUEST, message, correlation_id)


def source_of(request: HttpRequest) -> str:
    """The address that a message comes from."""
    source: str = getattr(request, "client_ip", "") or request.META.get("REMOTE_ADDR", "")
    return source


def read_body(request: HttpRequest) -> bytes | None:
    """The body, or nothing where it is too long; what is announced as too long is not read at all."""
    limit = settings.DEVICE_REPORT_LIMIT
    announced = request.META.get("CONTENT_LENGTH") or "0"
    if announced.isdecimal() and int(announced) > limit:
        return None
    body: bytes = request.read(limit + 1)
    return body if len(body) <= limit else None


def is_too_long(body: bytes, message: bytes) -> bool:
    """Only reports may be longer than other messages; `message` is what the body carries."""
    return len(body) > settings.DEVICE_BODY_LIMIT and len(body) > body_limit(message)


def _refuse(request: HttpRequest, status: HTTPStatus, message: str) -> HttpResponse:
    _, content = _describe(status, message, correlation_id_of(request))
    return HttpResponse(content, content_type=JSON, status=status)


def _describe(status: HTTPStatus, message: str, correlation_id: str) -> tuple[HTTPStatus, bytes]:
    content = {
        "status": "ERROR",
        "statusMessage": message,
        "code": CODES[status],
        "errors": [],
        "correlationId": correlation_id,
    }
    return status, json.dumps(content).encode()


def _too_long() -> str:
    return f"A message has at most {settings.DEVICE_BODY_LIMIT} bytes, a report {settings.DEVICE_REPORT_LIMIT}."


CODES: Final = {
    HTTPStatus.BAD_REQUEST: "MALFORMED",
    HTTPStatus.METHOD_NOT_ALLOWED: "METHOD_NOT_ALLOWED",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "TOO_LARGE",
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: "UNSUPPORTED_MEDIA_TYPE",
}
