"""`poll`: what a call that was answered by OK_POLL has come to."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from cssm.common.actor import Actor
from cssm.common.api.fields import StrictSerializer, Text, WholeNumber
from cssm.common.clock import to_milliseconds
from cssm.common.middleware import correlation_id_of
from licensing.api import authorizations
from licensing.api.csw import CswView, csw_call
from licensing.api.usage_calls import ACTION, show_acknowledgements
from licensing.services.exchange.rum.acknowledging import find_polled


def find_acknowledgements(actor: Actor, poll_id: int) -> dict[str, Any]:
    return show_acknowledgements(actor, find_polled(actor=actor, poll_id=poll_id))


FINDERS: Final[Mapping[str, Callable[[Actor, int], dict[str, Any]]]] = {
    ACTION: find_acknowledgements,
    authorizations.ACTION: authorizations.find_authorizations,
}
"""By action: the data of the answer. Raises `NotFound` (POLL_UNKNOWN) for what this program did not ask."""


class PollData(StrictSerializer):
    poll_id = WholeNumber(min_value=1, help_text="As a number or as text.")
    action = serializers.ChoiceField(required=False, choices=sorted(FINDERS), default=ACTION)
    timestamp = WholeNumber(required=False)
    nonce = Text(required=False, max_length=64, allow_null=True)


class PollCall(StrictSerializer):
    data = PollData()  # type: ignore[assignment]  # an attribute of the shape only, read by the schema


class PolledAnswer(serializers.Serializer[Any]):
    status = serializers.ChoiceField(choices=["COMPLETE"])
    message_code = serializers.CharField(allow_blank=True)
    message = serializers.CharField(allow_blank=True)
    timestamp = serializers.IntegerField()
    nonce = serializers.CharField(allow_null=True)
    type = serializers.ChoiceField(choices=sorted(FINDERS))
    correlation_id = serializers.CharField()
    data = serializers.DictField()  # type: ignore[assignment]  # an attribute of the shape only, read by the schema


class PollView(CswView):
    @csw_call(
        "poll", "Ask what a call has come to that was answered by OK_POLL", PolledAnswer, body=PollCall, status=200
    )
    def post(self, request: Request) -> Response:
        data = self.read_body(PollCall)["data"]
        found = FINDERS[data["action"]](self.actor, data["poll_id"])
        answer = {
            "status": "COMPLETE",
            "message_code": "",
            "message": "",
            "timestamp": to_milliseconds(self.now),
            "nonce": data.get("nonce"),
            "type": data["action"],
            "correlation_id": correlation_id_of(request),
            "data": found,
        }
        return Response(answer)
