"""`authrequest`: authorizations for devices that a program manages; they are fetched by `poll`."""

import base64
from collections.abc import Mapping
from typing import Any, Final

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from cssm.common.actor import Actor
from cssm.common.api.fields import StrictSerializer, Text, WholeNumber
from cssm.common.clock import to_milliseconds
from cssm.common.errors import DomainError, Invalid
from licensing.api.csw import CswView, csw_call
from licensing.api.reservations import read_licenses
from licensing.api.usage_calls import POLL_INTERVAL, PollAnswer
from licensing.codecs.device_udi import DeviceUdi
from licensing.services.reservations.contents import MOST_LICENSES
from licensing.services.reservations.device_calls import DeviceAnswer, DeviceWish, authorize_devices, read_results
from licensing.states import Precedence

ACTION: Final = "authorizations"
MOST_DEVICES: Final = 1000
CODE: Final = 4096


class AuthSudi(StrictSerializer):
    udi_pid = Text(max_length=128)
    udi_serial_number = Text(max_length=128)
    udi_vid = Text(required=False, allow_null=True, max_length=64)
    uuid = Text(required=False, allow_null=True, allow_blank=True, max_length=64)


class AuthKey(StrictSerializer):
    entitlement = Text(max_length=255, help_text="The entitlement tag.")
    count = WholeNumber(help_text="As a number or as text.")


class AuthLicense(StrictSerializer):
    sudi = AuthSudi()
    hostname = Text(required=False, allow_null=True, allow_blank=True, max_length=255)
    keys = serializers.ListField(child=AuthKey(), required=False, default=list, max_length=MOST_LICENSES)
    confirm_code = Text(required=False, allow_null=True, allow_blank=True, max_length=CODE)
    remove_code = Text(required=False, allow_null=True, allow_blank=True, max_length=CODE)


class AuthData(StrictSerializer):
    timestamp = WholeNumber(required=False)
    nonce = Text(required=False, max_length=64, allow_null=True)
    licenses = serializers.ListField(child=AuthLicense(), min_length=1, max_length=MOST_DEVICES)


class AuthCall(StrictSerializer):
    data = AuthData()  # type: ignore[assignment]  # an attribute of the shape only, read by the schema


class AuthRequestView(CswView):
    @csw_call(
        "authRequest",
        "Reserve licenses for devices, or enter their confirmation and return codes; poll for what it came to",
        PollAnswer,
        body=AuthCall,
        status=202,
    )
    def post(self, request: Request) -> Response:
        data = self.read_body(AuthCall)["data"]
        call = authorize_devices(
            actor=self.actor,
            virtual_account=self.virtual_account,
            wishes=[read_wish(row) for row in data["licenses"]],
            now=self.now,
        )
        answer = {
            "status": "OK_POLL",
            "message_code": None,
            "message": None,
            "timestamp": to_milliseconds(self.now),
            "nonce": data.get("nonce"),
            "type": None,
            "poll_id": call.poll_id,
            "poll_interval": POLL_INTERVAL,
            "action": ACTION,
        }
        return Response(answer, status=202)


def find_authorizations(actor: Actor, poll_id: int) -> dict[str, Any]:
    """The data of the poll's answer. What failed stands with its device, never in the message of the whole."""
    return {ACTION: [show_answer(row, poll_id) for row in read_results(actor=actor, poll_id=poll_id)]}


def read_wish(row: Mapping[str, Any]) -> DeviceWish:
    """What cannot be read is said of its device, and leaves the others be."""
    sudi = row["sudi"]
    udi = DeviceUdi(sudi["udi_pid"], sudi["udi_serial_number"])
    try:
        if not (row["keys"] or row.get("confirm_code") or row.get("remove_code")):
            raise Invalid("Give keys, a confirm_code or a remove_code.", code="NOTHING_TO_DO")
        licenses = read_licenses(
            [
                {
                    "entitlementTag": key["entitlement"],
                    "quantity": key["count"],
                    "precedence": Precedence.LONGEST_TERM_FIRST.value,
                }
                for key in row["keys"]
            ]
        )
    except DomainError as error:
        return DeviceWish(udi, error=error)
    return DeviceWish(
        udi,
        hostname=row.get("hostname") or "",
        licenses=licenses,
        confirm_code=row.get("confirm_code") or "",
        remove_code=row.get("remove_code") or "",
    )


def show_answer(row: DeviceAnswer, poll_id: int) -> dict[str, Any]:
    text = row.authorization
    return {
        "product_instance_identifier": row.piid,
        "sudi": {"udi_pid": row.udi.pid, "udi_serial_number": row.udi.serial},
        "smart_license": None if text is None else base64.b64encode(text.encode()).decode(),
        "auth_status": [],
        "error_code": row.error,
        "status": "SUCCESS" if row.error is None else "FAILED",
        "status_message": row.message,
        "correlation_id": f"{poll_id:x}-{row.position:x}",
    }
