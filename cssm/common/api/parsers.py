"""Reading JSON bodies strictly: what two readers could understand differently is refused."""

import json
import math
from collections.abc import Mapping
from typing import IO, Any, Final, NoReturn

from rest_framework.exceptions import ParseError
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.parsers import BaseParser
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request

from cssm.common.errors import Invalid

MAX_DEPTH: Final = 16
MAX_DIGITS: Final = 40


def parse_json(body: bytes) -> Any:
    """The value of a JSON text (RFC 8259).

    Raises `Invalid` with `MALFORMED` for what is not UTF-8 or not JSON, for a key twice in one object, for NaN and
    infinities, for NUL characters and lone surrogates in strings; with `TOO_LARGE` for nesting over 16 levels.
    """
    try:
        value = json.loads(
            body.decode("utf-8"),
            object_pairs_hook=_object,
            parse_constant=_no_constant,
            parse_float=_finite,
            parse_int=_bounded,
        )
    except RecursionError as error:
        raise too_deep() from error
    except ValueError as error:
        raise Invalid(f"The body is not JSON: {error}", code="MALFORMED") from error
    check_value(value)
    return value


def check_value(value: Any) -> None:
    """Raise for strings no database can hold and for nesting that only an attacker needs."""
    pending = [(value, 1)]
    while pending:
        item, depth = pending.pop()
        if isinstance(item, str):
            check_text(item)
        elif isinstance(item, dict | list):
            if depth > MAX_DEPTH:
                raise too_deep()
            children = [*item.keys(), *item.values()] if isinstance(item, dict) else item
            pending.extend((child, depth + 1) for child in children)


def check_text(text: str) -> None:
    if not is_storable(text):
        raise Invalid("The body holds a NUL character or half a surrogate pair.", code="MALFORMED")


def is_storable(text: str) -> bool:
    """Whether every database can hold the text: no NUL, no lone surrogate."""
    return "\x00" not in text and not any("\ud800" <= character <= "\udfff" for character in text)


def too_deep() -> Invalid:
    return Invalid(f"The body is nested deeper than {MAX_DEPTH} levels.", code="TOO_LARGE")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a key stands twice in one object")
    return members


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("a number is too large")
    return number


def _bounded(text: str) -> int:
    if len(text) > MAX_DIGITS:
        raise ValueError("a number is too large")
    return int(text)


class StrictJSONParser(BaseParser):
    media_type = "application/json"

    def parse(
        self,
        stream: IO[Any],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> Any:
        body = stream.read()
        if not body.strip():
            raise ParseError("The body is empty.")
        return parse_json(body)


class AlwaysFirst(BaseContentNegotiation):
    """The API has one format. A program that asks for another one is better served by it than by an error."""

    def select_parser(self, request: Request, parsers: Any) -> BaseParser | None:
        main, _, _ = (request.content_type or "").partition(";")
        return next((parser for parser in parsers if parser.media_type == main.strip().lower()), None)

    def select_renderer(
        self, request: Request, renderers: Any, format_suffix: str | None = None
    ) -> tuple[BaseRenderer, str]:
        return renderers[0], renderers[0].media_type
