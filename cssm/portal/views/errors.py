"""What Django shows when no view could answer. Programs get JSON, people a page."""

from http import HTTPStatus

from django.conf import settings
from django.core.exceptions import RequestDataTooBig, TooManyFieldsSent
from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.template.loader import render_to_string

from cssm.common.api.errors import CODE_OF_STATUS, Problem, write_problem
from cssm.common.middleware import DEVICE_PATHS, MACHINE_PREFIXES, correlation_id_of
from cssm.common.views import show_error

MESSAGES = {
    HTTPStatus.BAD_REQUEST: "The request is not in order. Go back and try again.",
    HTTPStatus.FORBIDDEN: "This is not allowed. If the page was open for long, reload it and try again.",
    HTTPStatus.NOT_FOUND: "The address is wrong, or you have no access to what it names.",
    HTTPStatus.INTERNAL_SERVER_ERROR: "Something went wrong on the server. Nothing was changed.",
}

TOO_LARGE = (
    f"The form is too large: it takes at most {settings.DATA_UPLOAD_MAX_MEMORY_SIZE // 1024**2} MB of text in"
    f" {settings.DATA_UPLOAD_MAX_NUMBER_FIELDS:,} fields. Nothing was changed. Send long texts as a file, or in parts."
)


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponseBase:
    if isinstance(exception, RequestDataTooBig | TooManyFieldsSent):
        return _answer(request, HTTPStatus.BAD_REQUEST, TOO_LARGE)
    return _answer(request, HTTPStatus.BAD_REQUEST)


def forbidden(request: HttpRequest, exception: Exception) -> HttpResponseBase:
    return _answer(request, HTTPStatus.FORBIDDEN)


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponseBase:
    return _answer(request, HTTPStatus.FORBIDDEN)


def not_found(request: HttpRequest, exception: Exception) -> HttpResponseBase:
    return _answer(request, HTTPStatus.NOT_FOUND)


def server_error(request: HttpRequest) -> HttpResponseBase:
    """Drawn without a request: whatever broke (the database, a session) must not break this page too."""
    status = HTTPStatus.INTERNAL_SERVER_ERROR
    if _is_program(request):
        return _answer_program(request, status)
    context = {"message": MESSAGES[status], "correlation_id": correlation_id_of(request)}
    return HttpResponse(render_to_string("portal/server_error.html", context), status=status)


def _answer(request: HttpRequest, status: HTTPStatus, message: str = "") -> HttpResponseBase:
    if _is_program(request):
        return _answer_program(request, status)
    return show_error(request, status=status, message=message or MESSAGES[status])


def _is_program(request: HttpRequest) -> bool:
    return request.path.startswith(MACHINE_PREFIXES) or request.path in DEVICE_PATHS


def _answer_program(request: HttpRequest, status: HTTPStatus) -> HttpResponseBase:
    problem = Problem(status.value, CODE_OF_STATUS.get(status.value, "INTERNAL"), MESSAGES[status])
    return JsonResponse({**write_problem(problem), "correlationId": correlation_id_of(request)}, status=status)
