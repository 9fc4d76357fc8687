"""The shapes of the two files from the portal (WP tables 2, 5, 6 and 7)."""

from collections.abc import Callable
from typing import Any, Final

from agents.onprem.documents.reader import (
    Each,
    Reader,
    Record,
    Shape,
    date,
    facts,
    flag,
    identifier,
    many,
    moment,
    number,
    optional,
    text,
)
from agents.onprem.documents.writer import FORMAT
from agents.onprem.errors import FileRefused

AUTHORIZATION: Final = "authorization_response"
SYNCHRONIZATION: Final = "synchronization_response"

SERVER_CERTIFICATES: Final = ("id_cert", "signing_cert", "sub_ca_cert", "satellite_cert", "local_sub_ca_cert_1_1")
HTTPS_CERTIFICATES: Final = ("tg_issuer_cert", "tg_ssl_cert", "ssms_ssl_cert")
THREE_TIER: Final = "local_sub_ca_cert"

Take = Callable[[dict[str, Any]], None]

_TERM: Final = Record(
    {"quantity": number, "license_type": text, "start_date": optional(date)},
    {"end_date": optional(date), "subscription_id": optional(text)},
)
_LICENSE: Final = Record(
    {
        "tag": text,
        "display_name": text,
        "purchased_quantity": number,
        "reserved_quantity": number,
        "in_use_quantity": number,
        "compliance_status": text,
        "terms": many(_TERM),
    }
)
_ACCOUNT: Final = Record({"id": identifier, "name": text, "licenses": many(_LICENSE)})
_PROVIDER: Final = Record(
    {"provider": text, "enabled": flag, "keys": many(Record({"name": text, "value": text}))},
)
_CONVERSION: Final = Record(
    {
        "udi_pid": text,
        "udi_serial_number": text,
        "conversion_status": text,
        "status_message": text,
        "status_message_localized": text,
        "software_tag_identifier": text,
    }
)
_USAGE_ANSWER: Final = Record(
    {"report_id": optional(identifier), "status": text}, {"message": optional(text)}, loose=True
)


def _exactly(word: str) -> Shape:
    def read(reader: Reader, event: Any, path: str) -> str:
        value = text(reader, event, path)
        if value != word:
            raise reader.refuse("UNSUPPORTED_FORMAT", f"{word!r} is expected, not {value[:80]!r}", event, path)
        return value

    return read


def _synchronization(take_account: Take) -> Record:
    return Record(
        {"virtual_accounts": Each(_ACCOUNT, take_account)},
        {"third_party_providers": many(_PROVIDER), "marked": many(facts)},
    )


def read_authorization(reader: Reader, take_account: Take) -> dict[str, Any]:
    """The authorization file; each Virtual Account is handed to `take_account` as it comes. Raises FileRefused."""
    names = (*SERVER_CERTIFICATES, *HTTPS_CERTIFICATES)
    required: dict[str, Shape] = {
        "format": _exactly(FORMAT),
        "type": _exactly(AUTHORIZATION),
        "status": text,
        "uuid": text,
        "smart_account": text,
        "account_domain": text,
        "satellite_name": text,
        "last-sync": moment,
        "synchronization": _synchronization(take_account),
    }
    values = reader.read(
        Record(
            required | dict.fromkeys(names, text),
            {THREE_TIER: text, "third_party_providers": many(_PROVIDER), "marked": many(facts)},
        )
    )
    if values["status"] != "SUCCESS":
        raise FileRefused("MALFORMED", f"The registration did not succeed: {values['status'][:80]!r}.", key=":status:")
    return _flatten(values)


def read_synchronization(reader: Reader, take_account: Take, take_conversion: Take) -> dict[str, Any]:
    """The response to a synchronization request. Raises FileRefused."""
    required: dict[str, Shape] = {
        "format": _exactly(FORMAT),
        "type": _exactly(SYNCHRONIZATION),
        "collector_instance_id": text,
        "satellite_name": text,
        "last_generated": moment,
        "last-sync": moment,
        "synchronization": _synchronization(take_account),
    }
    further: dict[str, Shape] = {
        "device_conversion_response": Each(_CONVERSION, take_conversion),
        "third_party_providers": many(_PROVIDER),
        "marked": many(facts),
    }
    values = reader.read(
        Record(
            required | dict.fromkeys(SERVER_CERTIFICATES, text),
            further | dict.fromkeys((*HTTPS_CERTIFICATES, THREE_TIER), text),
            {"rum_acknowledgements": many(_USAGE_ANSWER)},
        )
    )
    values["usage_answers"] = values.pop("extensions", {}).get("rum_acknowledgements", [])
    return _flatten(values)


def _flatten(values: dict[str, Any]) -> dict[str, Any]:
    """Providers and marks may stand inside of the synchronization or beside it."""
    inner = values.pop("synchronization")
    return (
        {"third_party_providers": None, "marked": []}
        | values
        | {name: inner[name] for name in ("third_party_providers", "marked") if name in inner}
    )
