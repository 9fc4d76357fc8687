"""Orders and what they delivered."""

from typing import Any

from django.db.models import Q
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.api.base import AccountApiView
from accounts.services.virtual_accounts import NAME_LIMIT
from cssm.common.api.description import changes
from cssm.common.api.fields import Answer, ListAnswer, Page, StrictSerializer, Text, WholeNumber
from cssm.common.clock import show_moment
from cssm.common.permissions import Permission
from licensing.api.shapes import VirtualAccountsPage
from licensing.codecs.order_lines import MOST_LINES, MOST_QUANTITY, SUBSCRIPTION_LIMIT, TAG_LIMIT
from licensing.models import PurchaseLine
from licensing.services.ownership.orders import REF_LIMIT, deliver_order
from licensing.states import LicenseType


class OrderLineShape(serializers.Serializer[Any]):
    """One line; what it leaves out the catalog and the moment of delivery decide."""

    entitlementTag = serializers.CharField(max_length=TAG_LIMIT)
    quantity = WholeNumber(min_value=1, max_value=MOST_QUANTITY)
    licenseType = serializers.CharField(
        required=False, help_text=f"One of {', '.join(kind.name for kind in LicenseType)}."
    )
    startDate = serializers.CharField(required=False, help_text="ISO 8601 date, or date with time and offset.")
    endDate = serializers.CharField(required=False, help_text="As startDate; the line counts until just before it.")
    subscriptionId = serializers.CharField(required=False, max_length=SUBSCRIPTION_LIMIT)


@extend_schema_field(OrderLineShape)
class OrderLineField(serializers.JSONField):
    """Read by the order's own codec, which names line and field of everything that is wrong at once."""


class NewOrder(StrictSerializer):
    domain = Text(max_length=253)
    virtualAccount = Text(max_length=NAME_LIMIT)
    orderRef = Text(max_length=REF_LIMIT)
    lines = serializers.ListField(child=OrderLineField(), min_length=1, max_length=MOST_LINES)


class OrderAnswer(Answer):
    orderRef = serializers.CharField()
    delivered = serializers.BooleanField(help_text="False where this order had been delivered before.")


class SubscriptionRow(serializers.Serializer[Any]):
    subscriptionId = serializers.CharField()
    virtualAccount = serializers.CharField()
    license = serializers.CharField()
    quantity = serializers.IntegerField()
    startDate = serializers.DateTimeField()
    endDate = serializers.DateTimeField(allow_null=True)
    status = serializers.CharField()


class SubscriptionsAnswer(ListAnswer):
    licenseSubscriptions = SubscriptionRow(many=True)


class OrdersView(AccountApiView):
    permission = Permission.OPERATE

    @changes("deliverOrder", "Deliver an order, once", OrderAnswer, body=NewOrder, tag="operator")
    def post(self, request: Request) -> Response:
        wanted = self.read_body(NewOrder)
        delivery = deliver_order(
            actor=self.actor,
            domain=wanted["domain"],
            virtual_account=wanted["virtualAccount"],
            order_ref=wanted["orderRef"],
            lines=wanted["lines"],
            now=self.now,
        )
        return self.success(orderRef=delivery.order.order_ref, delivered=delivery.delivered)


class SubscriptionsView(AccountApiView):
    permission = Permission.VIEW

    @changes(
        "listSubscriptions",
        "What is left of purchase lines that belong to a subscription",
        SubscriptionsAnswer,
        body=VirtualAccountsPage,
        tag="licenses",
    )
    def post(self, request: Request, domain: str) -> Response:
        wanted = self.read_body(VirtualAccountsPage)
        lines = PurchaseLine.objects.visible_to(self.actor).filter(smart_account=self.smart_account)
        if wanted["virtualAccounts"]:
            lines = lines.filter(virtual_account__in=self.find_virtual_accounts(wanted["virtualAccounts"]))
        subscribed = lines.filter(~Q(subscription_id="") | Q(license_type=LicenseType.SUBSCRIPTION))
        rows = (
            subscribed.with_anything_left()
            .select_related("license", "virtual_account")
            .order_by("subscription_id", "pk")
        )
        page = Page(limit=wanted["limit"], offset=wanted["offset"])
        return self.success_page("licenseSubscriptions", rows, page, self.show)

    def show(self, line: PurchaseLine) -> dict[str, Any]:
        return {
            "subscriptionId": line.subscription_id,
            "virtualAccount": line.virtual_account.name,
            "license": line.license.display_name,
            "quantity": line.remaining,
            "startDate": show_moment(line.start),
            "endDate": show_moment(line.end),
            "status": line.state_at(self.now).badge.label,
        }
