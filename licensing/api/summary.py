"""`licenses/summary`: what a Virtual Account owns, and how much of it is in use."""

from typing import Any, Final

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from cssm.common.api.fields import StrictSerializer, Text, WholeNumber
from cssm.common.clock import show_moment, to_milliseconds
from cssm.common.permissions import Permission
from licensing.api.csw import CswView, csw_call
from licensing.models import Pool, PurchaseLine
from licensing.states import Billing, Compliance, LicenseType

MOST_TAGS: Final = 1000
UNENFORCED: Final = "NOT ENFORCED"
Shape = serializers.Serializer[Any]


class SummaryData(StrictSerializer):
    timestamp = WholeNumber(required=False)
    nonce = Text(required=False, max_length=64, allow_null=True)
    tags = serializers.ListField(child=Text(max_length=255), required=False, default=list, max_length=MOST_TAGS)


class SummaryCall(StrictSerializer):
    data = SummaryData()  # type: ignore[assignment]  # an attribute of the shape only, read by the schema


class SummaryDetail(Shape):
    billing_type = serializers.ChoiceField(choices=[each.value for each in Billing])
    quantity = serializers.IntegerField()
    postpaid_usage = serializers.IntegerField(allow_null=True)
    start_date = serializers.DateTimeField(allow_null=True)
    end_date = serializers.DateTimeField(allow_null=True)
    subscription_id = serializers.CharField(allow_null=True)
    status = serializers.ChoiceField(choices=["ACTIVE", "FUTURE"])
    billing_model = serializers.CharField(allow_null=True)
    license_type = serializers.ChoiceField(choices=[each.name for each in LicenseType])


class SummaryRow(Shape):
    tag = serializers.CharField()
    compliance_status = serializers.ChoiceField(choices=[each.label for each in Compliance])
    display_name = serializers.CharField()
    enforced = serializers.BooleanField()
    export_restricted = serializers.BooleanField()
    license_details = SummaryDetail(many=True)
    prepaid_entitled = serializers.IntegerField()
    prepaid_inuse = serializers.IntegerField(help_text="In use and reserved.")
    prepaid_reserved = serializers.IntegerField()


class SummaryAnswer(Shape):
    status = serializers.ChoiceField(choices=["SUCCESS"])
    message_code = serializers.CharField(allow_null=True)
    message = serializers.CharField()
    timestamp = serializers.IntegerField()
    nonce = serializers.CharField(allow_null=True)
    out_standing_reports = serializers.IntegerField()
    summary = SummaryRow(many=True)


class SummaryView(CswView):
    permission = Permission.VIEW

    @csw_call("summarizeLicenses", "Licenses of a Virtual Account, by tag", SummaryAnswer, body=SummaryCall, status=200)
    def post(self, request: Request) -> Response:
        data = self.read_body(SummaryCall)["data"]
        rows = self.summarize(data["tags"])
        plural = "" if len(rows) == 1 else "s"
        answer = {
            "status": "SUCCESS",
            "message_code": None,
            "message": f"Retrieved summary for {len(rows)} license{plural} in the pool.",
            "timestamp": to_milliseconds(self.now),
            "nonce": data.get("nonce"),
            "out_standing_reports": 0,
            "summary": rows,
        }
        return Response(answer)

    def summarize(self, tags: list[str]) -> list[dict[str, Any]]:
        """Of these tags, or of every one with any figure."""
        pools: Any = Pool.objects.filter(virtual_account=self.virtual_account)
        pools = pools.filter(license__tag__in=tags) if tags else pools
        pools = pools.with_figures(self.now).with_anything().select_related("license")
        found = list(pools.order_by("license__display_name", "pk"))
        lines = PurchaseLine.objects.filter(
            virtual_account=self.virtual_account, license__in=[pool.license_id for pool in found]
        )
        details: dict[int, list[PurchaseLine]] = {}
        for line in lines.not_ended_at(self.now).with_remaining().order_by("start", "pk"):
            if line.remaining:
                details.setdefault(line.license_id, []).append(line)
        return [self.show(pool, details.get(pool.license_id, [])) for pool in found]

    def show(self, pool: Any, lines: list[PurchaseLine]) -> dict[str, Any]:
        license = pool.license
        return {
            "tag": license.tag,
            "compliance_status": Compliance(pool.now_status).label,
            "display_name": license.display_name,
            "enforced": license.enforcement != UNENFORCED,
            "export_restricted": license.export_restricted,
            "license_details": [self.show_line(pool, line) for line in lines],
            "prepaid_entitled": pool.now_purchased,
            "prepaid_inuse": pool.now_in_use + pool.now_reserved,
            "prepaid_reserved": pool.now_reserved,
        }

    def show_line(self, pool: Any, line: PurchaseLine) -> dict[str, Any]:
        is_perpetual = line.license_type == LicenseType.PERPETUAL
        return {
            "billing_type": pool.license.billing,
            "quantity": line.remaining,
            "postpaid_usage": pool.now_in_use if pool.license.billing == Billing.USAGE else None,
            "start_date": None if is_perpetual else show_moment(line.start),
            "end_date": show_moment(line.end) if line.end else None,
            "subscription_id": line.subscription_id or None,
            "status": "ACTIVE" if line.start <= self.now else "FUTURE",
            "billing_model": None,
            "license_type": LicenseType(line.license_type).name,
        }
