"""An air-gapped product for the tests: it makes request codes, and from what it installs confirmation and return codes.

It computes its codes by itself, as a product would, and not by the services under test.
"""

import base64
import hashlib
import hmac
import re
from dataclasses import dataclass
from uuid import UUID

import base58

from licensing.codecs.typed_codes import decode_fixed
from licensing.models import SoftwareTag

SOFTWARE = "regid.2017-05.com.cisco.C9300,v1_727af1d9-6c39-4444-b301-863f81445b72"
ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"


def know_software(tag: str = SOFTWARE) -> SoftwareTag:
    known, _ = SoftwareTag.objects.get_or_create(tag=tag, defaults={"short_hash": short_hash(tag)})
    return known


def short_hash(tag: str) -> str:
    return base58.b58encode(hashlib.sha256(tag.encode()).digest()).decode()[:8]


def grouped(text: str) -> str:
    return "-".join(re.findall(".{1,6}", text))


@dataclass
class AirGapped:
    serial: str = "FCW2134L0RN"
    pid: str = "C9300-24UX"
    version: str = "C"
    sequence: str = "B"
    piid: str = ""
    timestamp: int = 0
    signature: bytes = b""

    @property
    def udi(self) -> str:
        return f"P:{self.pid},S:{self.serial}"

    @property
    def request_code(self) -> str:
        body = f"{self.version}{self.sequence}-Z{self.pid}:{self.serial}-A{short_hash(SOFTWARE)}"
        return f"{body}-{hashlib.sha256(body.encode()).hexdigest()[:2].upper()}"

    def install(self, code: str) -> str:
        """Returns the confirmation code."""
        if code.startswith("D"):
            data = decode_fixed(code.replace("-", "")[1:], 86)
            assert data is not None
            self.piid, self.timestamp = str(UUID(bytes=data[:16])), int.from_bytes(data[16:22], "big")
            self.signature = der_of(data[22:])
        else:
            self.piid = re.findall("<piid>(.*?)</piid>", code)[0]
            self.timestamp = int(re.findall("<timestamp>(.*?)</timestamp>", code)[0])
            self.signature = base64.b64decode(re.findall("<signature>(.*?)</signature>", code)[0])
            assert f"<udi>{self.udi}</udi>" in code
        text = f"{self.udi}|{self.sequence}|{self.piid}|{self.timestamp}"
        return base58.b58encode(hashlib.sha256(text.encode()).digest()[:8]).decode()

    @property
    def return_code(self) -> str:
        piid = UUID(self.piid).bytes
        message = self.version.encode() + piid + str(self.timestamp).encode()
        mac = hmac.digest(hashlib.sha256(self.signature).digest(), message, "sha256")[:20]
        number, digits = int.from_bytes(piid + mac, "big"), ""
        for _ in range(50):
            number, digit = divmod(number, 58)
            digits = ALPHABET[digit] + digits
        return grouped(self.version + digits)


def der_of(packed: bytes) -> bytes:
    """r‖s as ASN.1: SEQUENCE of two INTEGERs."""

    def integer(data: bytes) -> bytes:
        data = data.lstrip(b"\0") or b"\0"
        data = b"\0" + data if data[0] & 0x80 else data
        return b"\x02" + bytes([len(data)]) + data

    body = integer(packed[:32]) + integer(packed[32:])
    return b"\x30" + bytes([len(body)]) + body


def entitled(code: str) -> dict[str, int]:
    """How much of each tag an authorization code names."""
    counts: dict[str, int] = {}
    for tag, count in re.findall("<tag>(.*?)</tag><count>(.*?)</count>", code):
        counts[tag] = counts.get(tag, 0) + int(count)
    return counts
