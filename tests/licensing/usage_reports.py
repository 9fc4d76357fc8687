"""Usage reports as products make them: the payload, signed or not, and around it what they travel in."""

import base64
import json
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding

from tests.licensing.device_driver import SOFTWARE_TAG, Device, Reply

METERED = "regid.2017-08.com.cisco.AIR-DNA-A,1.0_b6308627-3ab0-4a11-a3d9-586911a0d790"
HOUR = timedelta(hours=1)


def measurement(start: datetime, end: datetime, count: Any, **changes: Any) -> dict[str, Any]:
    first, last = int(start.timestamp()), int(end.timestamp())
    made = {
        "log_time": last,
        "metric_name": "ENTITLEMENT",
        "start_time": first,
        "end_time": last,
        "sample_interval": last - first,
        "num_samples": 2,
        "meta": {},
        "value": {"type": "COUNT", "value": str(count)},
    }
    return made | changes


def payload_of(
    sudi: dict[str, Any], report_id: int, *measurements: dict[str, Any], tag: str = METERED, **meta: Any
) -> str:
    """Version 2.0, written as products write it."""
    content = {
        "version": "2.0",
        "asset_identification": {
            "report_id": report_id,
            "asset": {"name": SOFTWARE_TAG},
            "instance": {"sudi": sudi},
        },
        "meta": {"entitlement_tag": tag, "software_version": "17.09.02", **meta},
        "measurements": list(measurements),
    }
    return json.dumps(content, separators=(",", ":"))


def sign_report(device: Device, payload: str, **changes: Any) -> dict[str, Any]:
    """By the key of the product's ID certificate."""
    assert device.key is not None
    value = device.key.sign(payload.encode(), padding.PKCS1v15(), hashes.SHA256())
    signature = {
        "signing_type": "SHA256withRSA",
        "key": device.id_cert_serial,
        "value": base64.b64encode(value).decode(),
    }
    return {"payload": payload, "signature": signature | changes}


def builtin(payload: str) -> dict[str, Any]:
    return {"payload": payload, "signature": {"signing_type": "builtin", "key": SOFTWARE_TAG, "value": "abcdef"}}


def report(
    device: Device, report_id: int, *measurements: dict[str, Any], tag: str = METERED, **meta: Any
) -> dict[str, Any]:
    return sign_report(device, payload_of(device.sudi, report_id, *measurements, tag=tag, **meta))


def hand_in(device: Device, *reports: dict[str, Any]) -> Reply:
    return device.ask("RUM_REPORT", {"reports": list(reports)})


def statuses(reply: Reply) -> list[tuple[int | None, str]]:
    return [(row["report_id"], row["status"]) for row in reply.data["acknowledgements"]]


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def as_xml(*reports: dict[str, Any]) -> bytes:
    """As a product saves them."""
    inner = "".join(f"<RUMReport><![CDATA[{json.dumps(one)}]]></RUMReport>" for one in reports)
    return f'<?xml version="1.0" encoding="UTF-8"?><smartLicense>{inner}</smartLicense>'.encode()
