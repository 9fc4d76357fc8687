"""A product's UDI as reservation codes write it: `P:<pid>,S:<sn>[,U:<uuid>]`. Pure."""

import re
from dataclasses import dataclass
from typing import Final

# Printable, without what separates parts here, in a signed text, or in XML.
_NAME: Final = r"[!#$%()*+./0-9:;=?@A-Z\[\]^_a-z{}~-]{1,128}"
PID: Final = re.compile(_NAME, re.ASCII)
SERIAL: Final = re.compile(_NAME.replace(":", "", 1), re.ASCII)
_TEXT: Final = re.compile(r"P:([^,]{0,128}),S:([^,]{0,128})(?:,U:([0-9A-Za-z-]{1,64}))?", re.ASCII)


@dataclass(frozen=True, slots=True)
class DeviceUdi:
    pid: str
    serial: str
    uuid: str = ""

    @property
    def udi(self) -> str:
        """As product instances are known by."""
        return f"{self.pid}:{self.serial}"

    @property
    def text(self) -> str:
        """As codes write it."""
        return f"P:{self.pid},S:{self.serial}" + (f",U:{self.uuid}" if self.uuid else "")


def parse_udi_text(text: str) -> DeviceUdi | None:
    """The inverse of `text`; None for anything else. Software that only has a uuid has neither PID nor serial."""
    found = _TEXT.fullmatch(text)
    if found is not None and found[3] and not found[1] and not found[2]:
        return DeviceUdi("", "", found[3])
    if found is None or not PID.fullmatch(found[1]) or not SERIAL.fullmatch(found[2]):
        return None
    return DeviceUdi(found[1], found[2], found[3] or "")
