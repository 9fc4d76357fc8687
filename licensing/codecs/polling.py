"""The data of a POLL message: the number under which an answer waits. Pure."""

from typing import Annotated, Final

import msgspec
from msgspec import Meta, Raw, Struct

from licensing.codecs.refusals import malformed
from licensing.codecs.strict_json import JsonInvalid, decode

MOST: Final = 2**63 - 1


class Poll(Struct, forbid_unknown_fields=True):
    """As a number, or as its digits: a number of 63 bits does not survive every JSON reader."""

    poll_id: Annotated[int, Meta(ge=0, le=MOST)] | Annotated[str, Meta(pattern=r"\A[0-9]{1,19}\Z")]


_POLL: Final = msgspec.json.Decoder(Poll)


def parse_poll(data: Raw) -> int:
    """Raises `Refusal` (MALFORMED)."""
    try:
        return int(decode(_POLL, bytes(data), root="$.data").poll_id)
    except JsonInvalid as error:
        raise malformed(error.message, where=error.where) from None
