"""How use and ownership of licenses developed, or what they were at one moment."""

from typing import Any, Final

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.api.base import AccountApiView
from cssm.common.api.description import reads
from cssm.common.api.fields import ListAnswer, PageQuery
from cssm.common.clock import show_moment
from cssm.common.permissions import Permission
from licensing.models import Pool
from licensing.services.insight.history import Point, read_histories
from licensing.services.insight.periods import Period, at_one_moment, choose_period
from licensing.services.insight.reports import read_pools
from licensing.states import Compliance

MOST_POOLS: Final = 200

Shape = serializers.Serializer[Any]


class HistoryQuery(PageQuery):
    limit = serializers.IntegerField(
        required=False, default=50, min_value=1, max_value=MOST_POOLS, help_text="Licenses to return at most."
    )
    virtualAccount = serializers.ListField(
        child=serializers.CharField(max_length=120),
        required=False,
        default=list,
        max_length=100,
        help_text="May be given several times; all that the caller may see where it is not given.",
    )
    entitlementTag = serializers.CharField(required=False, max_length=255)
    startDate = serializers.DateTimeField(
        required=False, help_text="Usual: 30 days before the end; not longer ago than 24 months."
    )
    endDate = serializers.DateTimeField(required=False, help_text="Usual: now.")
    asOf = serializers.DateTimeField(
        required=False,
        help_text=(
            "The figures of this moment alone, instead of those of a period. What was in use and reserved is kept"
            " change by change for 90 days. Of a day longer ago is kept when most was in use and how it ended (UTC):"
            " ask for midnight; a moment within the day gives what was last kept before it. At most 24 months back."
        ),
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if "asOf" in attrs and ("startDate" in attrs or "endDate" in attrs):
            raise serializers.ValidationError({"asOf": ["Ask for one moment or for a period, not for both."]})
        return attrs


class PointShape(Shape):
    startDate = serializers.DateTimeField()
    endDate = serializers.DateTimeField(help_text="The figures are those of this moment, or of just before it.")
    purchased = serializers.IntegerField()
    inUse = serializers.IntegerField()
    mostInUse = serializers.IntegerField(help_text="The most that was in use at any moment from start to end.")
    reserved = serializers.IntegerField()
    borrowed = serializers.IntegerField()
    lent = serializers.IntegerField()
    available = serializers.IntegerField(help_text="The balance; negative in a shortage.")
    status = serializers.ChoiceField(choices=[status.label for status in Compliance])
    wasShort = serializers.BooleanField(help_text="Out of compliance at any moment from start to end.")


class HistoryRow(Shape):
    virtualAccount = serializers.CharField()
    license = serializers.CharField()
    entitlementTag = serializers.CharField()
    points = PointShape(many=True, help_text="Oldest first.")


class HistoryAnswer(ListAnswer):
    startDate = serializers.DateTimeField()
    endDate = serializers.DateTimeField()
    step = serializers.ChoiceField(
        choices=["hour", "day", "week", "moment"], help_text="Hours for up to 3 days, days for up to 366, else weeks."
    )
    usageHistory = HistoryRow(many=True)


class UsageHistoryView(AccountApiView):
    permission = Permission.VIEW

    @reads(
        "readUsageHistory",
        "What was owned and in use of each license, by hour, day or week, or as of one moment",
        HistoryAnswer,
        query=HistoryQuery,
        tag="licenses",
    )
    def get(self, request: Request, domain: str) -> Response:
        query = self.read_query(HistoryQuery)
        moment = query.get("asOf")
        if moment is None:
            period = choose_period(start=query.get("startDate"), end=query.get("endDate"), now=self.now)
        else:
            period = at_one_moment(moment, now=self.now)
        pools = read_pools(actor=self.actor, smart_account=self.smart_account)
        if query["virtualAccount"]:
            pools = pools.filter(virtual_account__in=self.find_virtual_accounts(query["virtualAccount"]))
        if "entitlementTag" in query:
            pools = pools.filter(license__tag=query["entitlementTag"])
        ordered = pools.order_by("virtual_account__name", "license__display_name", "pk")
        chosen = list(ordered[query["offset"] : query["offset"] + query["limit"]])
        points = read_histories(actor=self.actor, pools=chosen, period=period)
        return self.success(
            totalRecords=pools.count(),
            startDate=show_moment(period.start if moment is None else moment),
            endDate=show_moment(period.until),
            step=period.unit if moment is None else "moment",
            usageHistory=[show_history(pool, points[pool.pk], period, is_moment=moment is not None) for pool in chosen],
        )


def show_history(pool: Pool, points: list[Point], period: Period, *, is_moment: bool) -> dict[str, Any]:
    return {
        "virtualAccount": pool.virtual_account.name,
        "license": pool.license.display_name,
        "entitlementTag": pool.license.tag,
        "points": [show_point(point, period, is_moment=is_moment) for point in points],
    }


def show_point(point: Point, period: Period, *, is_moment: bool) -> dict[str, Any]:
    return {
        "startDate": show_moment(period.until if is_moment else point.start),
        "endDate": show_moment(min(point.end, period.until)),
        "purchased": point.purchased,
        "inUse": point.in_use,
        "mostInUse": point.in_use if is_moment else point.peak,
        "reserved": point.reserved,
        "borrowed": point.borrowed,
        "lent": point.lent,
        "available": point.balance,
        "status": point.status.label,
        "wasShort": point.short > 0 if is_moment else point.was_short > 0,
    }
