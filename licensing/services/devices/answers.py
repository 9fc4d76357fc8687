"""Answers to devices: composed, signed, and kept encrypted so that a repeated request gets the same bytes."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from cssm.common.clock import to_milliseconds
from licensing.codecs.device_answer import AnswerStatus, Echo, render_outer, render_refusal, render_success
from licensing.codecs.refusals import NEVER_SIGNED, Refusal
from pki.services import signing, vault


class Contended(Exception):
    """Something this message was judged by has changed meanwhile; nothing was done, and it is to be judged anew."""


@dataclass(frozen=True, slots=True)
class Signer:
    """The private key of the signing certificate that was issued with the key that signed the request."""

    key_id: int
    wrapped: bytes

    def sign(self, text: str) -> bytes:
        return signing.sign_with_blob(self.wrapped, key_id=self.key_id, message=text.encode())


def compose_success(
    *, signer: Signer, echo: Echo, data: Mapping[str, Any], status: AnswerStatus = AnswerStatus.OK, now: datetime
) -> bytes:
    """The signed HTTP body of an answer."""
    text = render_success(echo, data, milliseconds=to_milliseconds(now), status=status)
    return render_outer(text, signer.sign(text))


def compose_refusal(*, signer: Signer | None, echo: Echo, refusal: Refusal, now: datetime) -> bytes:
    """The HTTP body of a refusal; signed where the request's signature verified, but never what anyone can provoke."""
    text = render_refusal(echo, refusal, milliseconds=to_milliseconds(now))
    if signer is None or refusal.refusal_code in NEVER_SIGNED:
        return render_outer(text, None)
    return render_outer(text, signer.sign(text))


def wrap_answer(answer: bytes, *, owner: str) -> bytes:
    """`owner` is the PIID, or the digest of the CSR's key."""
    return vault.wrap(answer, context=f"device-answer:{owner}")


def unwrap_answer(blob: bytes, *, owner: str) -> bytes:
    return vault.unwrap(blob, context=f"device-answer:{owner}")
