"""`reportusage`: usage reports of devices that a program collects; their acknowledgements are fetched by `poll`."""

import base64
from typing import Any, Final

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from cssm.common.actor import Actor
from cssm.common.clock import to_milliseconds
from licensing.api.csw import CswView, csw_call
from licensing.codecs.rum.report import parse_call
from licensing.models import RumUpload
from licensing.services.exchange.rum.acknowledging import KEPT, render_each, visible_results
from licensing.services.exchange.rum.uploads import hand_in_reports
from licensing.states import RumChannel

ACTION: Final = "acknowledgements"
POLL_INTERVAL: Final = 300

Shape = serializers.Serializer[Any]


class CswSudi(Shape):
    udi_pid = serializers.CharField(required=False)
    udi_serial_number = serializers.CharField(required=False)
    uuid = serializers.CharField(required=False)


class UsageSignature(Shape):
    sudi = CswSudi(required=False)
    signing_type = serializers.CharField(help_text="SHA256withRSA is verified, builtin is kept and not verified.")
    key = serializers.CharField(required=False, help_text="For SHA256withRSA: serial number of the ID certificate.")
    value = serializers.CharField()


class UsageEntry(Shape):
    payload = serializers.JSONField(help_text="The text that was signed; an object counts by its bytes as they stand.")
    header = serializers.JSONField(required=False)
    signature = UsageSignature()


class UsageOfDevice(Shape):
    sudi = CswSudi(required=False)
    usage = UsageEntry(many=True)


class UsageReportData(Shape):
    timestamp = serializers.IntegerField(required=False)
    nonce = serializers.CharField(required=False)
    reports = UsageOfDevice(many=True)


class UsageReportCall(Shape):
    data = UsageReportData()  # type: ignore[assignment]  # an attribute of the shape only, read by the schema


class PollAnswer(Shape):
    status = serializers.ChoiceField(choices=["OK_POLL"])
    message_code = serializers.CharField(allow_null=True)
    message = serializers.CharField(allow_null=True)
    timestamp = serializers.IntegerField()
    nonce = serializers.CharField(allow_null=True)
    type = serializers.CharField(allow_null=True)
    poll_id = serializers.IntegerField(min_value=1, max_value=2**63 - 1)
    poll_interval = serializers.IntegerField()
    action = serializers.CharField()


class ReportUsageView(CswView):
    @csw_call(
        "reportUsage",
        "Hand in usage reports of devices; poll for their acknowledgements",
        PollAnswer,
        body=UsageReportCall,
        status=202,
    )
    def post(self, request: Request) -> Response:
        _ = request.data  # refuses what is no JSON, as every call does
        call = parse_call(request.body)
        upload = hand_in_reports(
            actor=self.actor,
            virtual_account=self.virtual_account,
            submitted=call.reports,
            channel=RumChannel.API,
            now=self.now,
        )
        answer = {
            "status": "OK_POLL",
            "message_code": None,
            "message": None,
            "timestamp": to_milliseconds(self.now),
            "nonce": call.nonce,
            "type": None,
            "poll_id": upload.poll_id,
            "poll_interval": POLL_INTERVAL,
            "action": ACTION,
        }
        return Response(answer, status=202)


def show_acknowledgements(actor: Actor, upload: RumUpload) -> dict[str, Any]:
    """The data of the poll's answer. What was refused stands beside the acknowledgements, never in the message: a
    message means failure of the whole to programs in the field."""
    return {
        "acknowledgements": [
            {
                "sudi": dict(product.sudi),
                "software_tag_identifier": product.software_tag,
                "smart_license": base64.b64encode(file.encode()).decode(),
            }
            for product, file in render_each(actor=actor, upload=upload)
        ],
        "rejected": [
            {
                "sudi": row.get("sudi"),
                "report_id": row.get("report_id"),
                "error_code": row["status"],
                "status_message": row["message"],
            }
            for row in visible_results(actor=actor, upload=upload)
            if row["status"] not in KEPT
        ],
    }
