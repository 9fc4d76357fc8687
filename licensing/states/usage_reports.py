"""How usage reports come in, and what is known of them."""

from enum import StrEnum

from cssm.common.text import Badge, Tone, mark


class RumChannel(StrEnum):
    DEVICE = "device"
    UPLOAD = "upload"
    API = "api"
    ONPREM = "onprem"

    @property
    def label(self) -> str:
        return {
            RumChannel.DEVICE: mark("Message of the product"),
            RumChannel.UPLOAD: mark("Upload"),
            RumChannel.API: mark("API"),
            RumChannel.ONPREM: mark("On-prem server"),
        }[self]


class Verification(StrEnum):
    """Whether a report is signed by a key that was certified here for its product."""

    VERIFIED = "verified"
    UNVERIFIED = "unverified"

    @property
    def badge(self) -> Badge:
        if self is Verification.VERIFIED:
            return Badge(mark("Verified"), Tone.OK)
        return Badge(mark("Not verified"), Tone.MUTED)
