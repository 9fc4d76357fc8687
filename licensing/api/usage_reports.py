"""Usage reports as they came in, and what was metered from them: listed as in the portal."""

from typing import Any

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.api.base import AccountApiView
from cssm.common.api.description import reads
from cssm.common.api.fields import ListAnswer, Page, PageQuery
from cssm.common.clock import show_moment
from cssm.common.permissions import Permission
from licensing.models import RumReport
from licensing.services.insight.consumption import read_metered, sum_by_day
from licensing.states import RumChannel

Shape = serializers.Serializer[Any]


class UsageReportsQuery(PageQuery):
    virtualAccount = serializers.ListField(
        child=serializers.CharField(max_length=120),
        required=False,
        default=list,
        max_length=100,
        help_text="May be given several times; all that the caller may see where it is not given.",
    )
    entitlementTag = serializers.CharField(required=False, max_length=255)


class MeteredQuery(UsageReportsQuery):
    startDate = serializers.DateField(required=False, help_text="The first day, in UTC.")
    endDate = serializers.DateField(required=False, help_text="The last day, in UTC.")


class UsageReportRow(Shape):
    product = serializers.CharField(help_text="PID:SN, or the uuid of software.")
    reportId = serializers.IntegerField()
    virtualAccount = serializers.CharField()
    license = serializers.CharField(allow_null=True, help_text="Null where the catalog does not know the tag.")
    entitlementTag = serializers.CharField()
    startDate = serializers.DateTimeField()
    endDate = serializers.DateTimeField()
    gapSeconds = serializers.IntegerField(help_text="Between what earlier reports tell of and the start of this one.")
    unmeasuredSeconds = serializers.IntegerField(help_text="Within the report.")
    mostInUse = serializers.IntegerField()
    isVerified = serializers.BooleanField(help_text="Signed by a key certified here for the product.")
    isClosed = serializers.BooleanField(help_text="False where the product may send it again, longer.")
    cameBy = serializers.ChoiceField(choices=[channel.value for channel in RumChannel])
    receivedDate = serializers.DateTimeField()


class UsageReportsAnswer(ListAnswer):
    usageReports = UsageReportRow(many=True)


class MeteredRow(Shape):
    date = serializers.DateField()
    virtualAccount = serializers.CharField()
    license = serializers.CharField()
    entitlementTag = serializers.CharField()
    unitSeconds = serializers.IntegerField(help_text="Count × seconds.")
    mostInUse = serializers.IntegerField(help_text="The sum of what each product had in use at most.")
    products = serializers.IntegerField()


class MeteredAnswer(ListAnswer):
    meteredUsage = MeteredRow(many=True)


class UsageReportsView(AccountApiView):
    permission = Permission.VIEW

    @reads(
        "listUsageReports",
        "Usage reports of products, with what lies between them, the latest first",
        UsageReportsAnswer,
        query=UsageReportsQuery,
        tag="licenses",
    )
    def get(self, request: Request, domain: str) -> Response:
        query = self.read_query(UsageReportsQuery)
        rows = RumReport.objects.visible_to(self.actor).filter(smart_account=self.smart_account).current().with_gap()
        if query["virtualAccount"]:
            rows = rows.filter(virtual_account__in=self.find_virtual_accounts(query["virtualAccount"]))
        if "entitlementTag" in query:
            rows = rows.filter(meter__tag=query["entitlementTag"])
        shown = rows.select_related("meter__license", "virtual_account").defer("payload", "header", "signature")
        page = Page(query["limit"], query["offset"])
        return self.success_page("usageReports", shown.order_by("-period_end", "-pk"), page, show_report)


class MeteredUsageView(AccountApiView):
    permission = Permission.VIEW

    @reads(
        "listMeteredUsage",
        "What products reported of licenses billed by use, per day, Virtual Account and license, the latest first",
        MeteredAnswer,
        query=MeteredQuery,
        tag="licenses",
    )
    def get(self, request: Request, domain: str) -> Response:
        query = self.read_query(MeteredQuery)
        days = read_metered(actor=self.actor, smart_account=self.smart_account)
        if query["virtualAccount"]:
            days = days.filter(virtual_account__in=self.find_virtual_accounts(query["virtualAccount"]))
        if "entitlementTag" in query:
            days = days.filter(meter__license__tag=query["entitlementTag"])
        if "startDate" in query:
            days = days.filter(day__gte=query["startDate"])
        if "endDate" in query:
            days = days.filter(day__lte=query["endDate"])
        order = ("-day", "virtual_account__name", "meter__license__tag")
        page = Page(query["limit"], query["offset"])
        return self.success_page("meteredUsage", sum_by_day(days).order_by(*order), page, show_metered)


def show_report(row: Any) -> dict[str, Any]:
    gap = 0 if row.covered_until is None else int((row.period_start - row.covered_until).total_seconds())
    return {
        "product": row.udi,
        "reportId": row.report_id,
        "virtualAccount": row.virtual_account.name,
        "license": row.meter.license.display_name if row.meter.license else None,
        "entitlementTag": row.meter.tag,
        "startDate": show_moment(row.period_start),
        "endDate": show_moment(row.period_end),
        "gapSeconds": max(0, gap),
        "unmeasuredSeconds": row.unmeasured_seconds,
        "mostInUse": row.peak,
        "isVerified": row.is_verified,
        "isClosed": row.is_closed,
        "cameBy": row.channel,
        "receivedDate": show_moment(row.received_at),
    }


def show_metered(row: Any) -> dict[str, Any]:
    return {
        "date": row["day"].isoformat(),
        "virtualAccount": row["virtual_account__name"],
        "license": row["meter__license__display_name"],
        "entitlementTag": row["meter__license__tag"],
        "unitSeconds": row["units"],
        "mostInUse": row["most"],
        "products": row["products"],
    }
