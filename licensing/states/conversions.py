"""The states of conversions to Smart Licensing, where they come from, and why one is refused. Pure."""

from enum import StrEnum
from typing import Final

from cssm.common.text import Badge, Tone, mark


class ConversionState(StrEnum):
    """Taken and waiting for its turn, done as a whole, or refused as a whole."""

    WAITING = "waiting"
    COMPLETED = "completed"
    FAILED = "failed"

    @property
    def badge(self) -> Badge:
        return {
            ConversionState.WAITING: Badge(mark("In progress"), Tone.INFO),
            ConversionState.COMPLETED: Badge(mark("Converted"), Tone.OK),
            ConversionState.FAILED: Badge(mark("Refused"), Tone.BAD),
        }[self]

    @property
    def label(self) -> str:
        return self.badge.label


CONVERSION_MOVES: Final[dict[ConversionState, frozenset[ConversionState]]] = {
    ConversionState.WAITING: frozenset({ConversionState.COMPLETED, ConversionState.FAILED}),
    ConversionState.COMPLETED: frozenset(),
    ConversionState.FAILED: frozenset(),
}


class ConversionSource(StrEnum):
    """Who asked: the product itself, an on-prem server for its product, a person, or a program."""

    DEVICE = "device"
    ON_PREM = "on_prem"
    PORTAL = "portal"
    API = "api"

    @property
    def label(self) -> str:
        return {
            ConversionSource.DEVICE: mark("Product"),
            ConversionSource.ON_PREM: mark("On-prem server"),
            ConversionSource.PORTAL: mark("Portal"),
            ConversionSource.API: mark("API"),
        }[self]


class ConversionType(StrEnum):
    """A license file that the product holds, or a license that was only configured on it (white paper, Conversion)."""

    LICENSE_FILE = "LICENSE_FILE"
    TRUST_BASED = "TRUST_BASED"

    @property
    def label(self) -> str:
        if self is ConversionType.LICENSE_FILE:
            return mark("License file")
        return mark("Trust-based")


class ConversionReason(StrEnum):
    """Why a conversion was refused, for programs; people get a sentence."""

    LICENSE_UNKNOWN = "LICENSE_UNKNOWN"
    CONVERTED_DIFFERENTLY = "CONVERTED_DIFFERENTLY"
    CONVERTED_ELSEWHERE = "CONVERTED_ELSEWHERE"
    UDI_REGISTERED_ELSEWHERE = "UDI_REGISTERED_ELSEWHERE"
    VIRTUAL_ACCOUNT_GONE = "VIRTUAL_ACCOUNT_GONE"
    LINES_INVALID = "LINES_INVALID"
