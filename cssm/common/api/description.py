"""How a call describes itself in the OpenAPI document, in one line above its handler."""

from collections.abc import Callable
from typing import Any, Final, TypeVar

from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema

from cssm.common.api.fields import ErrorAnswer
from cssm.common.idempotency import MAX_KEY_LENGTH

F = TypeVar("F", bound=Callable[..., Any])

REFUSALS: Final = {
    400: "The input is not valid.",
    401: "No token, or not a valid one (403 below /api/v1 and /backend/api/v1).",
    403: "The right is missing.",
    404: "There is no such object, or the caller may not know of it.",
}
REFUSALS_OF_POST: Final = {
    409: "The present state does not allow it, or a call with this Idempotency-Key is still at work.",
    413: "The body is too large.",
    415: "The body is not application/json.",
    422: "The Idempotency-Key was used with another body.",
}
IDEMPOTENCY_KEY: Final = OpenApiParameter(
    name="Idempotency-Key",
    type={"type": "string", "minLength": 1, "maxLength": MAX_KEY_LENGTH, "pattern": "^[ -~]+$"},
    location=OpenApiParameter.HEADER,
    description="The same call with the same key within 24 hours has one effect and one answer.",
)


def reads(operation: str, summary: str, answer: Any, *, query: Any = None, tag: str = "accounts") -> Callable[[F], F]:
    """For a GET: its name, what it is for, its answer's shape, and the shape of its query."""
    described: Callable[[F], F] = extend_schema(
        operation_id=operation,
        summary=summary,
        description=f"{summary}.",  # or the docstring of a base class would be shown
        tags=[tag],
        parameters=[query] if query is not None else [],
        responses=_responses(answer, REFUSALS),
    )
    return described


def changes(
    operation: str, summary: str, answer: Any, *, body: Any = None, query: Any = None, tag: str = "accounts"
) -> Callable[[F], F]:
    """For a POST: also the shape of its body."""
    described: Callable[[F], F] = extend_schema(
        operation_id=operation,
        summary=summary,
        description=f"{summary}.",  # or the docstring of a base class would be shown
        tags=[tag],
        parameters=[IDEMPOTENCY_KEY, *([query] if query is not None else [])],
        request=body,
        responses=_responses(answer, {**REFUSALS, **REFUSALS_OF_POST}),
    )
    return described


def _responses(answer: Any, refusals: dict[int, str]) -> dict[int, Any]:
    described = {status: OpenApiResponse(ErrorAnswer, description=text) for status, text in refusals.items()}
    return {200: answer, **described}
