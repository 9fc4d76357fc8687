"""What is inside each type of device request. Strict: an unknown field is refused with its place."""

from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated, Final, Literal, TypeVar

import msgspec
from msgspec import Meta, Raw, Struct

from licensing.codecs.device_message import PLAIN_TRIMMED, Long, Short, Sudi, Tag
from licensing.codecs.refusals import malformed
from licensing.codecs.strict_json import JsonInvalid, decode

T = TypeVar("T", bound=Struct)

MAX_COUNT: Final = 1_000_000_000
MAX_ENTITLEMENTS: Final = 5000
MAX_PEERS: Final = 64
MAX_PARAMETERS: Final = 64
MAX_ENDPOINTS: Final = 100_000


class RequestType(StrEnum):
    """The types this release answers; others are UNSUPPORTED_REQUEST."""

    REGISTRATION = "REGISTRATION"
    ACK = "ACK"
    RENEWAL = "RENEWAL"
    AUTHORIZATION = "AUTHORIZATION"
    DEREGISTRATION = "DEREGISTRATION"
    CONVERSION = "CONVERSION"
    POLL = "POLL"
    ENDPOINT_REPORT = "ENDPOINT_REPORT"
    EXPORT_AUTHORIZATION = "EXPORT_AUTHORIZATION"
    THIRD_PARTY_KEY = "THIRD_PARTY_KEY"
    RUM_REPORT = "RUM_REPORT"


class Whereabouts(Struct, forbid_unknown_fields=True, kw_only=True):
    """Optional in every message: absent, null or empty erases what was known."""

    hostname: Long | None = None
    ip_address: Short | None = None
    mac_address: Short | None = None
    ha_peers: Annotated[list[Sudi], Meta(max_length=MAX_PEERS)] | None = None

    @property
    def peer_udis(self) -> list[str]:
        return [peer.udi for peer in self.ha_peers or ()]


class Registration(Whereabouts, forbid_unknown_fields=True, kw_only=True):
    id_token: Annotated[str, Meta(max_length=4096)]
    csr: Annotated[str, Meta(max_length=16 * 1024)]
    software_tag_identifier: Tag


class Renewal(Whereabouts, forbid_unknown_fields=True, kw_only=True):
    csr: Annotated[str, Meta(max_length=16 * 1024)]
    software_tag_identifier: Tag


class Acknowledgement(Struct, forbid_unknown_fields=True):
    acknowledges: Literal["REGISTRATION", "RENEWAL"]
    id_cert_serial_number: Short


class Entitlement(Struct, forbid_unknown_fields=True):
    tag: Tag
    count: Annotated[int, Meta(ge=0, le=MAX_COUNT)]


class Authorization(Whereabouts, forbid_unknown_fields=True, kw_only=True):
    """The whole of the current use: an absent tag counts as 0."""

    entitlements: Annotated[list[Entitlement], Meta(max_length=MAX_ENTITLEMENTS)]


class SeenEndpoint(Struct, forbid_unknown_fields=True):
    identifier: Annotated[str, Meta(min_length=1, max_length=255, pattern=PLAIN_TRIMMED)]
    type: Annotated[str, Meta(max_length=64, pattern=PLAIN_TRIMMED)]
    tag: Tag


class EndpointReport(Struct, forbid_unknown_fields=True):
    """All the endpoints that a controller sees: what is absent it sees no more."""

    endpoints: Annotated[list[SeenEndpoint], Meta(max_length=MAX_ENDPOINTS)]


class ExportAuthorization(Struct, forbid_unknown_fields=True):
    """`count` is how many units of the license the product wants a key for, in all."""

    tag: Tag
    count: Annotated[int, Meta(ge=1, le=MAX_COUNT)]


class ThirdPartyRequest(Struct, forbid_unknown_fields=True):
    """`parameters` are the provider's business; all of them are text."""

    provider: Literal["SPEECHVIEW", "APNS", "PNP"]
    key_name: Annotated[str, Meta(min_length=1, max_length=255, pattern=PLAIN_TRIMMED)]
    key_id: Long | None = None
    parameters: (
        Annotated[dict[Short, Annotated[str, Meta(max_length=4096)]], Meta(max_length=MAX_PARAMETERS)] | None
    ) = None


class Deregistration(Struct, forbid_unknown_fields=True):
    pass


_REGISTRATION: Final = msgspec.json.Decoder(Registration)
_RENEWAL: Final = msgspec.json.Decoder(Renewal)
_ACKNOWLEDGEMENT: Final = msgspec.json.Decoder(Acknowledgement)
_AUTHORIZATION: Final = msgspec.json.Decoder(Authorization)
_DEREGISTRATION: Final = msgspec.json.Decoder(Deregistration)
_ENDPOINT_REPORT: Final = msgspec.json.Decoder(EndpointReport)
_THIRD_PARTY_REQUEST: Final = msgspec.json.Decoder(ThirdPartyRequest)
_EXPORT_AUTHORIZATION: Final = msgspec.json.Decoder(ExportAuthorization)


def parse_registration(data: Raw) -> Registration:
    """Raises `Refusal` (MALFORMED), as the four below."""
    registration = _parse(_REGISTRATION, data)
    _check_peers(registration.ha_peers)
    return registration


def parse_renewal(data: Raw) -> Renewal:
    renewal = _parse(_RENEWAL, data)
    _check_peers(renewal.ha_peers)
    return renewal


def parse_acknowledgement(data: Raw) -> Acknowledgement:
    return _parse(_ACKNOWLEDGEMENT, data)


def parse_authorization(data: Raw) -> Authorization:
    """A tag that stands twice is MALFORMED: it would have two counts."""
    authorization = _parse(_AUTHORIZATION, data)
    seen: set[str] = set()
    for position, entitlement in enumerate(authorization.entitlements):
        if entitlement.tag in seen:
            raise malformed("the tag stands twice", where=f"$.data.entitlements[{position}].tag")
        seen.add(entitlement.tag)
    _check_peers(authorization.ha_peers)
    return authorization


def parse_deregistration(data: Raw) -> Deregistration:
    return _parse(_DEREGISTRATION, data)


def parse_endpoint_report(data: Raw) -> EndpointReport:
    return _parse(_ENDPOINT_REPORT, data)


def parse_export_authorization(data: Raw) -> ExportAuthorization:
    return _parse(_EXPORT_AUTHORIZATION, data)


def parse_third_party_request(data: Raw) -> ThirdPartyRequest:
    return _parse(_THIRD_PARTY_REQUEST, data)


def _parse(decoder: msgspec.json.Decoder[T], data: Raw) -> T:
    try:
        return decode(decoder, bytes(data), root="$.data")
    except JsonInvalid as error:
        raise malformed(error.message, where=error.where) from None


def _check_peers(peers: Sequence[Sudi] | None) -> None:
    for position, peer in enumerate(peers or ()):
        peer.check(f"$.data.ha_peers[{position}]")
