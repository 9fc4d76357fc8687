"""Reservations as they stand, with their codes for who may manage them; and what can be reserved."""

from collections.abc import Iterable
from typing import Any

from django.db.models import Prefetch
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.api.base import AccountApiView
from accounts.services.virtual_accounts import NAME_LIMIT
from cssm.common.api.description import reads
from cssm.common.api.fields import Answer, ListAnswer, PageQuery
from cssm.common.clock import show_moment
from cssm.common.permissions import Permission
from licensing.api.shapes import Sudi
from licensing.models import AuthorizationCode, AuthorizedLicense, Reservation
from licensing.services.reservations.issuing import open_code
from licensing.services.reservations.offers import Offer, list_offers
from licensing.states import AuthorizationState, LicenseType, ReservationKind, ReservationState

Shape = serializers.Serializer[Any]


class ReservationQuery(PageQuery):
    virtualAccount = serializers.CharField(required=False, max_length=NAME_LIMIT, help_text="Of this one only.")
    state = serializers.ChoiceField(required=False, choices=[state.name for state in ReservationState])
    udi = serializers.CharField(required=False, max_length=400, help_text="PID:SN")


class ReservedLicenseRow(Shape):
    license = serializers.CharField()
    entitlementTag = serializers.CharField()
    quantity = serializers.IntegerField()
    licenseType = serializers.ChoiceField(choices=[kind.name for kind in LicenseType])
    startDate = serializers.DateTimeField(allow_null=True)
    endDate = serializers.DateTimeField(allow_null=True)
    subscriptionId = serializers.CharField(allow_null=True)


class CodeRow(Shape):
    authorizationCode = serializers.CharField(allow_null=True, help_text="Null without the right to manage.")
    timestamp = serializers.IntegerField(help_text="Unix time in ms, as in the code.")
    state = serializers.ChoiceField(choices=[state.name for state in AuthorizationState])
    takesAway = serializers.BooleanField(help_text="Its confirmation releases licenses.")
    confirmedDate = serializers.DateTimeField(allow_null=True)
    licenses = ReservedLicenseRow(many=True)


class ReservationRow(Shape):
    sudi = Sudi()
    piid = serializers.CharField()
    productTagName = serializers.CharField()
    virtualAccount = serializers.CharField()
    reservationType = serializers.ChoiceField(choices=[kind.name for kind in ReservationKind])
    reservationCode = serializers.CharField(
        allow_null=True, help_text="Null without the right to manage, and of export keys."
    )
    state = serializers.ChoiceField(choices=[state.name for state in ReservationState])
    stateSince = serializers.DateTimeField()
    createdDate = serializers.DateTimeField()
    endedDate = serializers.DateTimeField(allow_null=True)
    confirmationOutstandingSince = serializers.DateTimeField(
        allow_null=True, help_text="Of the oldest code whose confirmation would release licenses."
    )
    rehostedFrom = serializers.CharField(allow_null=True, help_text="The UDI of the failed product.")
    sharesLicenses = serializers.BooleanField(help_text="With the failed product, until that one is returned.")
    authorizationCodes = CodeRow(many=True)


class ReservationsAnswer(ListAnswer):
    reservations = ReservationRow(many=True)


class TermRow(Shape):
    licenseType = serializers.ChoiceField(choices=[kind.name for kind in LicenseType])
    startDate = serializers.DateTimeField()
    endDate = serializers.DateTimeField(allow_null=True)
    subscriptionId = serializers.CharField(allow_null=True)
    quantity = serializers.IntegerField()


class OfferRow(Shape):
    license = serializers.CharField()
    entitlementTag = serializers.CharField()
    most = serializers.IntegerField(allow_null=True, help_text="What can be reserved; null where there is no limit.")
    terms = TermRow(many=True)


class OffersAnswer(Answer):
    licenses = OfferRow(many=True)


class ReservationsView(AccountApiView):
    permission = Permission.VIEW

    @reads(
        "listReservations",
        "Reservations, with their codes for who may manage them",
        ReservationsAnswer,
        query=ReservationQuery,
        tag="reservations",
    )
    def get(self, request: Request, domain: str) -> Response:
        wanted = self.read_query(ReservationQuery)
        rows = Reservation.objects.visible_to(self.actor).filter(smart_account=self.smart_account)
        if name := wanted.get("virtualAccount"):
            rows = rows.filter(virtual_account=self.find_virtual_account(name))
        if state := wanted.get("state"):
            rows = rows.filter(state=ReservationState[state])
        if udi := wanted.get("udi"):
            rows = rows.filter(udi=udi)
        contents = AuthorizedLicense.objects.select_related("license").order_by("pk")
        codes = AuthorizationCode.objects.order_by("-timestamp").prefetch_related(
            Prefetch("contents", queryset=contents)
        )
        page = rows.order_by("-pk").select_related("instance", "virtual_account", "rehosted_from")
        shown = page.prefetch_related(Prefetch("codes", queryset=codes))
        start = wanted["offset"]
        listed = [self.show(row) for row in shown[start : start + wanted["limit"]]]
        return self.success(totalRecords=rows.count(), reservations=listed)

    def show(self, row: Reservation) -> dict[str, Any]:
        may_manage = self.actor.may(
            Permission.MANAGE_ASSETS, smart_account_id=row.smart_account_id, virtual_account_id=row.virtual_account_id
        )
        return show_reservation(row, may_manage=may_manage)


class OffersView(AccountApiView):
    permission = Permission.MANAGE_ASSETS

    @reads("listReservable", "What can be reserved in a Virtual Account", OffersAnswer, tag="reservations")
    def get(self, request: Request, domain: str, va: str) -> Response:
        offers = list_offers(actor=self.actor, virtual_account=self.virtual_account, now=self.now)
        return self.success(licenses=[show_offer(offer) for offer in offers])


def show_reservation(row: Reservation, *, may_manage: bool) -> dict[str, Any]:
    instance, codes = row.instance, list(row.codes.all())
    waiting = [
        code.created_at
        for code in codes
        if code.takes_away and code.confirmed_at is None and code.state == AuthorizationState.OUTSTANDING
    ]
    return {
        "sudi": {
            "udiPid": instance.udi_pid,
            "udiSerialNumber": instance.udi_serial_number,
            "uuid": instance.uuid or None,
        },
        "piid": str(instance.piid),
        "productTagName": instance.software_tag,
        "virtualAccount": row.virtual_account.name,
        "reservationType": ReservationKind(row.kind).name,
        "reservationCode": row.request_code if may_manage and row.kind != ReservationKind.EXPORT else None,
        "state": ReservationState(row.state).name,
        "stateSince": show_moment(row.state_since),
        "createdDate": show_moment(row.created_at),
        "endedDate": show_moment(row.ended_at),
        "confirmationOutstandingSince": show_moment(min(waiting, default=None)),
        "rehostedFrom": row.rehosted_from.udi if row.rehosted_from else None,
        "sharesLicenses": row.is_shared,
        "authorizationCodes": [show_issued(code, may_manage=may_manage) for code in codes],
    }


def show_issued(code: AuthorizationCode, *, may_manage: bool) -> dict[str, Any]:
    return {
        "authorizationCode": open_code(code) if may_manage and code.sealed is not None else None,
        "timestamp": code.timestamp,
        "state": AuthorizationState(code.state).name,
        "takesAway": code.takes_away,
        "confirmedDate": show_moment(code.confirmed_at),
        "licenses": show_licenses(code.contents.all()),
    }


def show_licenses(rows: Iterable[AuthorizedLicense]) -> list[dict[str, Any]]:
    return [
        {
            "license": row.license.display_name,
            "entitlementTag": row.license.tag,
            "quantity": row.quantity,
            "licenseType": LicenseType(row.license_type).name,
            "startDate": show_moment(row.start),
            "endDate": show_moment(row.end),
            "subscriptionId": row.subscription_id or None,
        }
        for row in rows
    ]


def show_offer(offer: Offer) -> dict[str, Any]:
    return {
        "license": offer.license.display_name,
        "entitlementTag": offer.license.tag,
        "most": offer.most,
        "terms": [
            {
                "licenseType": term.license_type.name,
                "startDate": show_moment(term.start),
                "endDate": show_moment(term.end),
                "subscriptionId": term.subscription_id or None,
                "quantity": term.quantity,
            }
            for term in offer.terms
        ],
    }
