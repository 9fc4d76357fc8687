"""Shapes that the calls share: strict objects, numbers that may come as text, pages."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

DEFAULT_LIMIT: Final = 50
MAX_LIMIT: Final = 1000
MAX_OFFSET: Final = 2**31 - 1
WHOLE_NUMBER: Final = re.compile(r"-?[0-9]{1,18}", re.ASCII)

Shape = serializers.Serializer[Any]


class StrictSerializer(serializers.Serializer[Any]):
    """Refuses fields it does not know, so that a misspelt one is not taken for an absent one."""

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, Mapping):
            unknown = [str(key) for key in data if key not in self.fields]
            if unknown:
                message = serializers.ErrorDetail("There is no such field.", code="unknown_field")
                raise serializers.ValidationError({name[:100]: [message] for name in unknown[:20]})
        return super().to_internal_value(data)


@extend_schema_field({"oneOf": [{"type": "integer"}, {"type": "string", "pattern": "^-?[0-9]{1,18}$"}]})
class WholeNumber(serializers.IntegerField):
    """A whole number, as a number or as a numeric string: programs in the field send both."""

    def to_internal_value(self, data: Any) -> int:
        text = str(data).strip() if isinstance(data, int | str) and not isinstance(data, bool) else ""
        if isinstance(data, float) and data.is_integer():
            text = str(int(data))
        if not WHOLE_NUMBER.fullmatch(text):
            self.fail("invalid")
        return int(text)


class Text(serializers.CharField):
    """Text only: a number where a name belongs is a mistake of the caller."""

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("invalid")
        return super().to_internal_value(data)


class CaselessChoice(serializers.ChoiceField):
    """One of a few words, in upper or lower case."""

    def to_internal_value(self, data: Any) -> Any:
        wanted = data.strip().lower() if isinstance(data, str) else None
        for key in self.choices:
            if str(key).lower() == wanted:
                return key
        return self.fail("invalid_choice", input=str(data)[:100])


@dataclass(frozen=True, slots=True)
class Page:
    limit: int = DEFAULT_LIMIT
    offset: int = 0


class PageQuery(serializers.Serializer[Any]):
    """The two query parameters of every list."""

    limit = serializers.IntegerField(
        required=False, default=DEFAULT_LIMIT, min_value=1, max_value=MAX_LIMIT, help_text="Rows to return at most."
    )
    offset = serializers.IntegerField(
        required=False, default=0, min_value=0, max_value=MAX_OFFSET, help_text="Rows to skip."
    )


class PageBody(StrictSerializer):
    """The same two in a body."""

    limit = WholeNumber(required=False, default=DEFAULT_LIMIT, min_value=1, max_value=MAX_LIMIT)
    offset = WholeNumber(required=False, default=0, min_value=0, max_value=MAX_OFFSET)


class ErrorRow(serializers.Serializer[Any]):
    line = serializers.IntegerField(required=False, help_text="Of bodies with many rows: which one, from 1.")
    field = serializers.CharField(help_text="Path of the field in the body or row, or empty.")
    code = serializers.CharField()
    message = serializers.CharField()


class ErrorAnswer(serializers.Serializer[Any]):
    """What every refused call answers."""

    status = serializers.ChoiceField(choices=["ERROR"])
    statusMessage = serializers.CharField()
    code = serializers.CharField()
    errors = ErrorRow(many=True)  # type: ignore[assignment]  # an attribute of the shape only, read by the schema
    details = serializers.DictField(required=False)
    correlationId = serializers.CharField()


class Answer(serializers.Serializer[Any]):
    """The two members of every v1 answer."""

    status = serializers.ChoiceField(choices=["SUCCESS", "ERROR"])
    statusMessage = serializers.CharField()


class ListAnswer(Answer):
    totalRecords = serializers.IntegerField(help_text="Rows in the whole list, of which this is one page.")
