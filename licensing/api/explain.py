"""Why a license has the figures it has in a Virtual Account, and what would end a shortage."""

from typing import Any

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.api.base import AccountApiView
from cssm.common.api.description import reads
from cssm.common.api.fields import Answer
from cssm.common.clock import show_moment
from cssm.common.errors import NotFound
from cssm.common.permissions import Permission
from licensing.models import Pool
from licensing.services.insight.cures import Cures, Surplus
from licensing.services.insight.explain import (
    Explanation,
    InstancePart,
    LinePart,
    LoanPart,
    ReservationPart,
    Rest,
    explain_pool,
)
from licensing.states import Compliance, LicenseType, ReservationState

Shape = serializers.Serializer[Any]


class FiguresShape(Shape):
    purchased = serializers.IntegerField()
    borrowed = serializers.IntegerField()
    lent = serializers.IntegerField()
    inUse = serializers.IntegerField()
    reserved = serializers.IntegerField()
    balance = serializers.IntegerField(help_text="purchased + borrowed − lent − inUse − reserved")
    free = serializers.IntegerField(help_text="What may be transferred or reserved now.")


class UnexplainedShape(Shape):
    purchased = serializers.IntegerField()
    inUse = serializers.IntegerField()
    reserved = serializers.IntegerField()
    borrowed = serializers.IntegerField()
    lent = serializers.IntegerField()


class RestShape(Shape):
    count = serializers.IntegerField()
    quantity = serializers.IntegerField()


class ExplainedLine(Shape):
    quantity = serializers.IntegerField(help_text="What is left of the line.")
    licenseType = serializers.ChoiceField(choices=[kind.name for kind in LicenseType])
    startDate = serializers.DateTimeField()
    endDate = serializers.DateTimeField(allow_null=True)
    subscriptionId = serializers.CharField(allow_null=True)
    orderRef = serializers.CharField(allow_null=True)
    source = serializers.CharField(  # type: ignore[assignment]  # of the shape only, read by the schema
        help_text="order, transfer, conversion or correction"
    )
    transferredFrom = serializers.CharField(
        allow_null=True, help_text="A Virtual Account, where the caller may see that one."
    )


class ExplainedInstance(Shape):
    piid = serializers.CharField()
    udi = serializers.CharField()
    hostName = serializers.CharField(allow_null=True)
    quantity = serializers.IntegerField()
    since = serializers.DateTimeField()
    lastContact = serializers.DateTimeField(help_text="Or the registration, if it has not spoken since.")
    silent = serializers.BooleanField(help_text="No contact for more than 30 days.")


class ExplainedReservation(Shape):
    udi = serializers.CharField()
    piid = serializers.CharField()
    state = serializers.ChoiceField(choices=[state.name for state in ReservationState])
    reservationCode = serializers.CharField(
        allow_null=True, help_text="The request code, for who may manage the Virtual Account."
    )
    quantity = serializers.IntegerField()


class ExplainedLoan(Shape):
    license = serializers.CharField()
    entitlementTag = serializers.CharField()
    direction = serializers.ChoiceField(choices=["borrowed", "lent"])
    quantity = serializers.IntegerField()


class ShortageShape(Shape):
    since = serializers.DateTimeField(help_text="The moment of this answer, if it is short now; else when it will be.")
    quantity = serializers.IntegerField()


class EndingShape(Shape):
    date = serializers.DateTimeField()
    license = serializers.CharField()
    entitlementTag = serializers.CharField()
    quantity = serializers.IntegerField()
    balanceAfter = serializers.IntegerField(help_text="Of the explained license, from then on.")


class SurplusShape(Shape):
    virtualAccount = serializers.CharField()
    license = serializers.CharField()
    entitlementTag = serializers.CharField()
    available = serializers.IntegerField(help_text="May leave it without making it short, today or later.")
    needed = serializers.IntegerField(help_text="How many would end the shortage.")
    quantity = serializers.IntegerField(help_text="How many to transfer.")
    endDate = serializers.DateTimeField(allow_null=True, help_text="When the first of these ends; null: none does.")
    mayTransfer = serializers.BooleanField()


class SilentShape(RestShape):
    instances = ExplainedInstance(many=True)


class PurchaseShape(Shape):
    license = serializers.CharField()
    entitlementTag = serializers.CharField()
    quantity = serializers.IntegerField()
    most = serializers.IntegerField(help_text="For the worst that is known of, later included.")
    mostDate = serializers.DateTimeField()


class ReductionShape(Shape):
    quantity = serializers.IntegerField(help_text="How much less use would end the shortage.")
    instances = ExplainedInstance(many=True, help_text="The fewest that use as many; none where more than 50 would be.")


class CuresShape(Shape):
    """What the white paper names: transfer, hear of products again or remove them, use less, buy."""

    transfer = SurplusShape(many=True)
    remove = SilentShape()
    reduce = ReductionShape()
    buy = PurchaseShape()


class ExplanationAnswer(Answer):
    license = serializers.CharField()
    entitlementTag = serializers.CharField()
    virtualAccount = serializers.CharField()
    asOf = serializers.DateTimeField()
    compliance = serializers.ChoiceField(choices=[status.label for status in Compliance])
    verdict = serializers.CharField(help_text="The same in one sentence.")
    figures = FiguresShape()
    unexplained = UnexplainedShape(help_text="What the parts leave over: 0.")
    lines = ExplainedLine(many=True, help_text="Those that count now, first those that end first; 50 at most.")
    otherLines = RestShape(help_text="The others, summed.")
    futureLines = ExplainedLine(many=True)
    instances = ExplainedInstance(many=True, help_text="The 50 that use most.")
    otherInstances = RestShape(help_text="The others, summed.")
    reservations = ExplainedReservation(many=True)
    otherReservations = RestShape()
    loans = ExplainedLoan(many=True)
    endings = EndingShape(many=True, help_text="What of it, or of what stands in for it, ends next.")
    shortage = ShortageShape(allow_null=True)
    cures = CuresShape(allow_null=True, help_text="What would end the shortage; null where none is known of.")


class ExplainView(AccountApiView):
    permission = Permission.VIEW

    @reads(
        "explainPool",
        "What makes up the figures of a license in a Virtual Account, and what would end a shortage of it",
        ExplanationAnswer,
        tag="licenses",
    )
    def get(self, request: Request, domain: str, va: str, tag: str) -> Response:
        pools = Pool.objects.visible_to(self.actor).filter(virtual_account=self.virtual_account, license__tag=tag)
        pool = pools.first()
        if pool is None:
            raise NotFound("There is no license of this tag in the Virtual Account.", where="tag")
        return self.success(**show(explain_pool(pool=pool, actor=self.actor, now=self.now)))


def show(found: Explanation) -> dict[str, Any]:
    pool = found.pool
    return {
        "license": pool.license.display_name,
        "entitlementTag": pool.license.tag,
        "virtualAccount": pool.virtual_account.name,
        "asOf": show_moment(found.as_of),
        "compliance": Compliance(pool.now_status).label,
        "verdict": found.verdict,
        "figures": {
            "purchased": pool.now_purchased,
            "borrowed": pool.now_borrowed,
            "lent": pool.now_lent,
            "inUse": pool.now_in_use,
            "reserved": pool.now_reserved,
            "balance": pool.now_balance,
            "free": pool.now_free,
        },
        "unexplained": {
            "purchased": found.unexplained["purchased"],
            "inUse": found.unexplained["in_use"],
            "reserved": found.unexplained["reserved"],
            "borrowed": found.unexplained["borrowed"],
            "lent": found.unexplained["lent"],
        },
        "lines": [show_line(part) for part in found.lines],
        "otherLines": show_rest(found.more_lines),
        "futureLines": [show_line(part) for part in found.coming],
        "instances": [show_instance(part) for part in found.instances],
        "otherInstances": show_rest(found.more_instances),
        "reservations": [show_reservation(part) for part in found.reservations],
        "otherReservations": show_rest(found.more_reservations),
        "loans": [show_loan(part) for part in found.loans],
        "endings": [
            {
                "date": show_moment(ending.at),
                "license": ending.license.display_name,
                "entitlementTag": ending.license.tag,
                "quantity": ending.quantity,
                "balanceAfter": ending.balance,
            }
            for ending in found.endings
        ],
        "shortage": found.shortage and {"since": show_moment(found.shortage.at), "quantity": found.shortage.quantity},
        "cures": found.cures and show_cures(found, found.cures),
    }


def show_rest(rest: Rest) -> dict[str, Any]:
    return {"count": rest.count, "quantity": rest.quantity}


def show_line(part: LinePart) -> dict[str, Any]:
    line = part.line
    return {
        "quantity": part.quantity,
        "licenseType": LicenseType(line.license_type).name,
        "startDate": show_moment(line.start),
        "endDate": show_moment(line.end),
        "subscriptionId": line.subscription_id or None,
        "orderRef": line.order.order_ref if line.order else None,
        "source": line.source,
        "transferredFrom": part.came_from.name if part.came_from else None,
    }


def show_instance(part: InstancePart) -> dict[str, Any]:
    return {
        "piid": str(part.instance.piid),
        "udi": part.instance.udi,
        "hostName": part.instance.hostname or None,
        "quantity": part.quantity,
        "since": show_moment(part.since),
        "lastContact": show_moment(part.heard_at),
        "silent": part.is_silent,
    }


def show_reservation(part: ReservationPart) -> dict[str, Any]:
    reservation = part.reservation
    return {
        "udi": reservation.udi,
        "piid": str(reservation.instance.piid),
        "state": ReservationState(reservation.state).name,
        "reservationCode": part.request_code,
        "quantity": part.quantity,
    }


def show_loan(part: LoanPart) -> dict[str, Any]:
    return {
        "license": part.license.display_name,
        "entitlementTag": part.license.tag,
        "direction": "borrowed" if part.is_borrowed else "lent",
        "quantity": part.quantity,
    }


def show_cures(found: Explanation, cures: Cures) -> dict[str, Any]:
    silence, buy = found.silence, cures.purchase
    return {
        "transfer": [show_surplus(each) for each in cures.surplus],
        "remove": {
            "count": silence.count,
            "quantity": silence.quantity,
            "instances": [show_instance(part) for part in silence.instances],
        },
        "reduce": {
            "quantity": buy.quantity,
            "instances": [show_instance(part) for part in found.reduction],
        },
        "buy": {
            "license": buy.license.display_name,
            "entitlementTag": buy.license.tag,
            "quantity": buy.quantity,
            "most": buy.most,
            "mostDate": show_moment(buy.most_at),
        },
    }


def show_surplus(each: Surplus) -> dict[str, Any]:
    return {
        "virtualAccount": each.virtual_account.name,
        "license": each.license.display_name,
        "entitlementTag": each.license.tag,
        "available": each.available,
        "needed": each.needed,
        "quantity": each.quantity,
        "endDate": show_moment(each.until),
        "mayTransfer": each.may_transfer,
    }
