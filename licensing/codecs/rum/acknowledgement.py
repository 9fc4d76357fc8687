"""What a product is told of its usage reports, as the file it imports (the two outer names are those in the field):

    <smartLicense><smartLicenseRumAck><data>{JSON}</data><signature>BASE64</signature></smartLicenseRumAck></smartLicense>

No declaration, no white space. One `smartLicenseRumAck` for each product; the JSON is

    {"sudi": {…}, "software_tag_identifier", "timestamp", "acknowledgements": [{"report_id", "status"}]}

The signature is Base64 DER ECDSA P-256/SHA-256 by the reservation-signing key over the bytes of the `data` element as
they stand in the file.
"""

import base64
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from xml.sax.saxutils import escape

import msgspec


class AckStatus(StrEnum):
    """What became of a report that is kept. Other statuses are the codes of `RefusalCode`."""

    ACCEPTED = "ACCEPTED"
    DUPLICATE = "DUPLICATE"


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    report_id: int | None
    status: str

    def show(self) -> dict[str, Any]:
        return {"report_id": self.report_id, "status": self.status}


@dataclass(frozen=True, slots=True)
class ProductAcknowledgements:
    """Those of one product; `milliseconds` is when they were given."""

    sudi: Mapping[str, Any]
    software_tag: str
    milliseconds: int
    rows: Sequence[Acknowledgement]

    def render_data(self) -> str:
        """The `data` element, which is what is signed."""
        content = {
            "sudi": dict(self.sudi),
            "software_tag_identifier": self.software_tag,
            "timestamp": self.milliseconds,
            "acknowledgements": [row.show() for row in self.rows],
        }
        return f"<data>{escape(msgspec.json.encode(content).decode())}</data>"


def render_acknowledgements(products: Iterable[ProductAcknowledgements], *, sign: Callable[[bytes], bytes]) -> str:
    """The file. `sign` gives the DER signature of some bytes."""
    parts = []
    for product in products:
        data = product.render_data()
        signature = base64.b64encode(sign(data.encode())).decode()
        parts.append(f"<smartLicenseRumAck>{data}<signature>{signature}</signature></smartLicenseRumAck>")
    return f"<smartLicense>{''.join(parts)}</smartLicense>"
