"""Call Home: the messages of devices in SOAP, and the description of that service."""

from functools import lru_cache
from http import HTTPStatus
from pathlib import Path
from typing import Final
from xml.sax.saxutils import escape

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.utils.decorators import method_decorator
from django.views import View
from django.views.decorators.csrf import csrf_exempt

from cssm.common.clock import read_clock
from cssm.common.middleware import correlation_id_of
from cssm.common.permissions import Access
from licensing.codecs.device_message import OuterFormInvalid
from licensing.codecs.soap import FaultCode, SoapInvalid, SoapVersion, open_envelope, render_fault, wrap_message
from licensing.services.exchange.dispatch import answer_message
from licensing.views.exchange import CODES, is_too_long, read_body, source_of

VERSIONS: Final = {"text/xml": SoapVersion.V1_1, "application/soap+xml": SoapVersion.V1_2}
DESCRIPTIONS: Final = {"wsdl": "smart_license.wsdl", "xsd": "smart_license.xsd"}


@method_decorator(csrf_exempt, name="dispatch")
class CallHomeView(View):
    """One signed message in an envelope, one signed answer in another. `?wsdl` and `?xsd` describe it."""

    permission = Access.PUBLIC
    http_method_names = ["get", "post"]

    def get(self, request: HttpRequest) -> HttpResponse:
        name = next((DESCRIPTIONS[key] for key in (key.lower() for key in request.GET) if key in DESCRIPTIONS), None)
        if name is None:
            message = "Post a SOAP envelope here; ?wsdl and ?xsd describe it."
            return _fault(request, HTTPStatus.METHOD_NOT_ALLOWED, message, SoapVersion.V1_1, headers={"Allow": "POST"})
        location = settings.PUBLIC_URL.rstrip("/") + request.path
        text = _read_description(name).replace("{location}", escape(location))
        return HttpResponse(text, content_type="text/xml; charset=utf-8")

    def post(self, request: HttpRequest) -> HttpResponse:
        version = VERSIONS.get(request.content_type or "")
        if version is None:
            message = f"The Content-Type must be {' or '.join(VERSIONS)}."
            return _fault(request, HTTPStatus.UNSUPPORTED_MEDIA_TYPE, message, SoapVersion.V1_1)
        body = read_body(request)
        too_long = f"A message has at most {settings.DEVICE_BODY_LIMIT} bytes, a report {settings.DEVICE_REPORT_LIMIT}."
        if body is None:
            return _fault(request, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, too_long, version)
        try:
            opened = open_envelope(body)
            if is_too_long(body, opened.message):
                return _fault(request, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, too_long, opened.version)
            answer = answer_message(body=opened.message, source_ip=source_of(request), now=read_clock())
        except SoapInvalid as error:
            message = f"This is not a Call Home envelope: {error.message}."
            too_long_for_it = len(body) > settings.DEVICE_BODY_LIMIT
            status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE if too_long_for_it else HTTPStatus.BAD_REQUEST
            return _fault(request, status, message, error.version, error.fault)
        except OuterFormInvalid as error:
            place = f" (at {error.where})" if error.where else ""
            message = f"This is not a device message: {error.message}{place}."
            return _fault(request, HTTPStatus.BAD_REQUEST, message, opened.version)
        return _respond(wrap_message(answer, opened.version), HTTPStatus.OK, opened.version)


@lru_cache(maxsize=2)
def _read_description(name: str) -> str:
    return (Path(__file__).parents[1] / "data" / name).read_text(encoding="utf-8")


def _fault(
    request: HttpRequest,
    status: HTTPStatus,
    message: str,
    version: SoapVersion,
    fault: FaultCode = FaultCode.SENDER,
    headers: dict[str, str] | None = None,
) -> HttpResponse:
    content = render_fault(
        message,
        code=CODES[status],
        correlation_id=correlation_id_of(request),
        version=version,
        fault=fault,
    )
    return _respond(content, status, version, headers)


def _respond(
    content: bytes, status: HTTPStatus, version: SoapVersion, headers: dict[str, str] | None = None
) -> HttpResponse:
    # Devices' addresses pass by the middleware that would say how long it is.
    length = {"Content-Length": str(len(content))}
    return HttpResponse(content, content_type=version.content_type, status=status, headers=length | (headers or {}))
