"""Reserving licenses, and what follows: changed, confirmed, withdrawn, returned, rehosted. Each row by itself."""

from collections.abc import Mapping, Sequence
from typing import Any

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.api.base import AccountApiView
from cssm.common.api.description import changes
from cssm.common.api.fields import Answer, CaselessChoice, StrictSerializer, Text, WholeNumber
from cssm.common.errors import Invalid
from cssm.common.permissions import Permission
from licensing.api.devices import find_reservation
from licensing.api.rows import answer_rows
from licensing.api.shapes import DeviceResultsAnswer, ResultRow, Sudi
from licensing.codecs.request_code import WHERE
from licensing.codecs.typed_codes import LONGEST
from licensing.models import License, Reservation
from licensing.services.catalog.lookup import licenses_by_tag
from licensing.services.reservations.confirmation import confirm_installation
from licensing.services.reservations.contents import MOST_LICENSES, Wanted
from licensing.services.reservations.issuing import Issued
from licensing.services.reservations.rehost import rehost_reservation
from licensing.services.reservations.requests import read_request
from licensing.services.reservations.reserve import reserve_licenses
from licensing.services.reservations.returns import return_reservation
from licensing.services.reservations.updates import cancel_update, update_reservation
from licensing.states import REQUESTED_KINDS, LicenseType, Precedence

MOST_ROWS = 1000
# What cannot be a code is said by the row that holds it; only what nobody could have typed is refused with the body.
CODE = 1024 * 1024


class WantedLicense(StrictSerializer):
    entitlementTag = Text(max_length=255)
    quantity = WholeNumber()
    licenseType = CaselessChoice(
        required=False, choices=[kind.name for kind in LicenseType], help_text="Of this type only; any without."
    )
    precedence = CaselessChoice(required=False, choices=list(Precedence), default=Precedence.LONGEST_TERM_FIRST.value)


class Licenses(serializers.ListField):
    child = WantedLicense()

    def __init__(self, **options: Any) -> None:
        super().__init__(max_length=MOST_LICENSES, **options)


class ReservationRequest(StrictSerializer):
    reservationCode = Text(max_length=CODE, allow_blank=True, help_text="The request code that the product shows.")
    reservationType = CaselessChoice(required=False, choices=[kind.name for kind in REQUESTED_KINDS])
    licenses = Licenses(required=False, default=list)


class ReservationRequests(StrictSerializer):
    reservationRequests = serializers.ListField(child=ReservationRequest(), min_length=1, max_length=MOST_ROWS)


class ProductRow(StrictSerializer):
    sudi = Sudi()
    productTagName = Text(required=False, allow_blank=True, allow_null=True, max_length=255)


class UpdateRow(ProductRow):
    licenses = Licenses()


class Updates(StrictSerializer):
    reservationUpdateRequests = serializers.ListField(child=UpdateRow(), min_length=1, max_length=MOST_ROWS)


class ConfirmationRow(ProductRow):
    confirmationCode = Text(max_length=CODE, allow_blank=True)


class Confirmations(StrictSerializer):
    reservationConfirmationRequests = serializers.ListField(child=ConfirmationRow(), min_length=1, max_length=MOST_ROWS)


class Cancellations(StrictSerializer):
    reservationCancelRequests = serializers.ListField(child=ProductRow(), min_length=1, max_length=MOST_ROWS)


class ReturnRow(ProductRow):
    returnCode = Text(max_length=CODE, allow_blank=True)


class Returns(StrictSerializer):
    reservationReturnRequests = serializers.ListField(child=ReturnRow(), min_length=1, max_length=MOST_ROWS)


class RehostRow(ProductRow):
    reservationCode = Text(max_length=CODE, allow_blank=True, help_text="The replacement's request code.")


class Rehosts(StrictSerializer):
    reservationRehostRequests = serializers.ListField(child=RehostRow(), min_length=1, max_length=MOST_ROWS)


class AuthorizationCodeRow(ResultRow):
    reservationCode = serializers.CharField()
    authorizationCode = serializers.CharField(allow_null=True, help_text="What the product installs.")


class AuthorizationCodesAnswer(Answer):
    authorizationCodes = AuthorizationCodeRow(many=True)


class ProductCodeRow(ResultRow):
    sudi = Sudi()
    reservationCode = serializers.CharField()
    authorizationCode = serializers.CharField(allow_null=True)


class ProductCodesAnswer(Answer):
    authorizationCodes = ProductCodeRow(many=True)


class ReservationApiView(AccountApiView):
    permission = Permission.MANAGE_ASSETS

    def find(self, row: Mapping[str, Any]) -> Reservation:
        return find_reservation(
            self.virtual_account, row["sudi"], row.get("productTagName"), return_code=row.get("returnCode")
        )

    def answer_codes(self, rows: Sequence[Any], perform: Any) -> Response:
        """Rows of authorization codes; the code is null where a row failed."""
        return answer_rows(rows, perform=perform, show=show_request, name="authorizationCodes", is_atomic=True)


class ReserveView(ReservationApiView):
    @changes(
        "reserveLicenses",
        "Reserve licenses for products that show a request code, each by itself",
        AuthorizationCodesAnswer,
        body=ReservationRequests,
        tag="reservations",
    )
    def post(self, request: Request, domain: str, va: str) -> Response:
        return self.answer_codes(self.read_body(ReservationRequests)["reservationRequests"], self.reserve)

    def reserve(self, row: dict[str, Any]) -> dict[str, Any]:
        code = row["reservationCode"]
        wanted_kind = row.get("reservationType")
        if wanted_kind and read_request(code).code.kind.name != wanted_kind:
            raise Invalid(
                f"This is no request code for a {wanted_kind.lower()} reservation; its first letter says which it is.",
                code="OTHER_KIND",
                where=WHERE,
            )
        issued = reserve_licenses(
            actor=self.actor,
            virtual_account=self.virtual_account,
            request_code=code,
            licenses=read_licenses(row["licenses"]),
            now=self.now,
        )
        return show_code(issued, "" if issued.is_new else "This request code was used before: its code again.")


class ReserveViewV2(ReserveView):
    @changes(
        "reserveLicensesV2",
        "Reserve licenses for products that show a request code, each by itself",
        AuthorizationCodesAnswer,
        body=ReservationRequests,
        tag="reservations",
    )
    def post(self, request: Request, domain: str, va: str) -> Response:
        return super().post(request, domain, va)


class UpdateView(ReservationApiView):
    @changes(
        "updateLicenses",
        "Change reservations to exactly these licenses, each by itself",
        ProductCodesAnswer,
        body=Updates,
        tag="reservations",
    )
    def post(self, request: Request, domain: str, va: str) -> Response:
        return self.answer_codes(self.read_body(Updates)["reservationUpdateRequests"], self.update)

    def update(self, row: dict[str, Any]) -> dict[str, Any]:
        issued = update_reservation(
            actor=self.actor, reservation=self.find(row), licenses=read_licenses(row["licenses"]), now=self.now
        )
        waits = "What was removed is released once the confirmation code is entered."
        return show_code(issued, waits if issued.code.takes_away else "")


class ConfirmView(ReservationApiView):
    @changes(
        "confirmLicenses",
        "Enter confirmation codes, each by itself",
        DeviceResultsAnswer,
        body=Confirmations,
        tag="reservations",
    )
    def post(self, request: Request, domain: str, va: str) -> Response:
        rows = self.read_body(Confirmations)["reservationConfirmationRequests"]
        return answer_rows(rows, perform=self.confirm, show=show_sudi)

    def confirm(self, row: dict[str, Any]) -> str:
        confirm_installation(
            actor=self.actor, reservation=self.find(row), confirmation_code=row["confirmationCode"], now=self.now
        )
        return "The reservation was confirmed."


class CancelUpdateView(ReservationApiView):
    @changes(
        "cancelReservationUpdates",
        "Withdraw changes of reservations that are not confirmed, each by itself",
        DeviceResultsAnswer,
        body=Cancellations,
        tag="reservations",
    )
    def post(self, request: Request, domain: str, va: str) -> Response:
        rows = self.read_body(Cancellations)["reservationCancelRequests"]
        return answer_rows(rows, perform=self.cancel, show=show_sudi)

    def cancel(self, row: dict[str, Any]) -> str:
        cancel_update(actor=self.actor, reservation=self.find(row), now=self.now)
        return "The change was withdrawn."


class ReturnView(ReservationApiView):
    @changes(
        "returnReservations",
        "Enter return codes, each by itself",
        DeviceResultsAnswer,
        body=Returns,
        tag="reservations",
    )
    def post(self, request: Request, domain: str, va: str) -> Response:
        return answer_rows(self.read_body(Returns)["reservationReturnRequests"], perform=self.give_back, show=show_sudi)

    def give_back(self, row: dict[str, Any]) -> str:
        return_reservation(actor=self.actor, reservation=self.find(row), return_code=row["returnCode"], now=self.now)
        return "The reservation was returned."


class RehostView(ReservationApiView):
    @changes(
        "rehostReservations",
        "Give what failed products have reserved to their replacements, each by itself",
        ProductCodesAnswer,
        body=Rehosts,
        tag="reservations",
    )
    def post(self, request: Request, domain: str, va: str) -> Response:
        return self.answer_codes(self.read_body(Rehosts)["reservationRehostRequests"], self.rehost)

    def rehost(self, row: dict[str, Any]) -> dict[str, Any]:
        issued = rehost_reservation(
            actor=self.actor,
            reservation=self.find(row),
            request_code=row["reservationCode"],
            now=self.now,
        )
        shared = "Both products share the licenses until the return code of the failed one is entered."
        return show_code(issued, shared if issued.reservation.is_shared else "")


def read_licenses(rows: Sequence[Mapping[str, Any]]) -> list[Wanted]:
    """By tag. Raises `Invalid` (LICENSE_UNKNOWN) naming all that the catalog does not have."""
    known: Mapping[str, License] = licenses_by_tag({row["entitlementTag"] for row in rows})
    unknown = [row["entitlementTag"] for row in rows if row["entitlementTag"] not in known]
    if unknown:
        raise Invalid(f"The catalog has no license {', '.join(unknown[:5])}.", code="LICENSE_UNKNOWN", where="licenses")
    return [
        Wanted(
            license=known[row["entitlementTag"]],
            quantity=row["quantity"],
            license_type=LicenseType[row["licenseType"]] if row.get("licenseType") else None,
            precedence=Precedence(row["precedence"]),
            number=number,
        )
        for number, row in enumerate(rows, start=1)
    ]


def show_code(issued: Issued, message: str) -> dict[str, Any]:
    return {
        "reservationCode": issued.reservation.request_code,
        "authorizationCode": issued.text,
        "statusMessage": message,
    }


def show_request(row: Mapping[str, Any]) -> dict[str, Any]:
    """What tells the row again, cut to what a code can have."""
    shown: dict[str, Any] = {"sudi": row["sudi"]} if "sudi" in row else {}
    return {**shown, "reservationCode": row.get("reservationCode", "")[:LONGEST], "authorizationCode": None}


def show_sudi(row: Mapping[str, Any]) -> dict[str, Any]:
    return {"sudi": row["sudi"]}
