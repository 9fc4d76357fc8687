"""Usage reports (ISO/IEC 19770-4, version 2.0): made, signed, carried. Pure: no clock, no files, no network.

A report waits until the server says that it has it: `ACCEPTED`, or `DUPLICATE` where it had it already.
"""

import base64
import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec
from cryptography.hazmat.primitives.asymmetric import rsa

from agents.common.signatures import sign
from agents.smart_agent.errors import UsageError, VerificationFailed
from agents.smart_agent.messages import OK_POLL, Response, read_promise
from agents.smart_agent.state import Identity, Product, Rum, State, WaitingReport

KEPT: Final = frozenset({"ACCEPTED", "DUPLICATE"})
WAITING: Final = "waiting"
VERIFIABLE, BUILTIN = "SHA256withRSA", "builtin"
SOFTWARE_VERSION: Final = "1.0"
LONGEST: Final = 365 * 86_400
"""No report may reach over more than 366 days."""
MOST_AT_ONCE: Final = 1_000
LoadKey = Callable[[str], rsa.RSAPrivateKey]


class Acknowledged(msgspec.Struct, frozen=True):
    report_id: int | None
    status: str


class Acknowledgements(msgspec.Struct, frozen=True):
    acknowledgements: list[Acknowledged]


def make_payload(product: Product, *, report_id: int, tag: str, count: int, start: int, end: int) -> str:
    """One measurement from `start` to `end`, Unix seconds; the text is what is signed."""
    sudi = msgspec.to_builtins(product.sudi)
    content = {
        "version": "2.0",
        "asset_identification": {
            "report_id": report_id,
            "asset": {"name": product.software_tag},
            "instance": {"sudi": sudi},
        },
        "meta": {
            "entitlement_tag": tag,
            "software_version": SOFTWARE_VERSION,
            "ha_udi": [{"role": "Active", "sudi": sudi}],
        },
        "measurements": [
            {
                "log_time": end,
                "metric_name": "ENTITLEMENT",
                "start_time": start,
                "end_time": end,
                "sample_interval": end - start,
                "num_samples": 1,
                "meta": {"close_reason": "CurrentUsageRequested"},
                "value": {"type": "COUNT", "value": str(count)},
            }
        ],
    }
    return msgspec.json.encode(content).decode()


def sign_payload(payload: str, product: Product, identity: Identity | None, key: rsa.RSAPrivateKey | None) -> Any:
    """By the key of the ID certificate; a product that has none can only say what it is."""
    if identity is not None and key is not None:
        value = sign(key, payload.encode())
        return {"signing_type": VERIFIABLE, "key": identity.id_cert_serial, "value": value}
    digest = base64.b64encode(hashlib.sha256(payload.encode()).digest()).decode()
    return {"signing_type": BUILTIN, "key": product.software_tag, "value": digest}


def measure(state: State, use: Mapping[str, int], load_key: LoadKey, *, seconds: int, now: int) -> Rum:
    """A report for each license, of the `seconds` up to `now` (Unix ms), behind those that wait already.

    With 0 from where the last ones ended, the first time from the registration; of more than a year, several reports.
    The server's time is what counts, as far as the product knows it.
    """
    product, identity = state.product, state.identity
    if product is None:
        raise UsageError("This product does not know yet who it is: register it first.")
    end = (now + state.clock_offset) // 1000
    began = state.rum.measured_until or ((identity.registered_at + state.clock_offset) // 1000 if identity else end)
    start = max(0, end - seconds if seconds else min(began, end))
    key = load_key(identity.key) if identity and use else None
    last, made = state.rum.last_id, []
    for since in range(start, max(end, start + 1), LONGEST):
        until = min(since + LONGEST, end)
        for tag, count in use.items():
            last = max(last + 1, end)
            payload = make_payload(product, report_id=last, tag=tag, count=count, start=since, end=until)
            signature = sign_payload(payload, product, identity, key)
            made.append(WaitingReport(report_id=last, tag=tag, payload=payload, signature=signature))
    return msgspec.structs.replace(state.rum, waiting=[*state.rum.waiting, *made], measured_until=end, last_id=last)


def close_measurement(state: State, use: Mapping[str, int], load_key: LoadKey, now: int) -> Rum:
    """Where usage is reported by a schedule: what was in use until now, if from now on it is something else."""
    before = {one.tag: one.count for one in state.use if one.count}
    is_same = before == {tag: count for tag, count in use.items() if count}
    has_just_been_measured = state.rum.measured_until == (now + state.clock_offset) // 1000
    if not state.plan.report_every or state.identity is None or is_same or has_just_been_measured:
        return state.rum
    return measure(state, before, load_key, seconds=0, now=now)


def next_batch(waiting: Sequence[WaitingReport]) -> list[WaitingReport]:
    """As many as one message may hold, the oldest first; what was refused stands behind what was never sent."""
    return list(waiting[:MOST_AT_ONCE])


def usage_data(waiting: Iterable[WaitingReport]) -> dict[str, Any]:
    """The `data` of a RUM_REPORT."""
    return {"reports": [{"payload": one.payload, "signature": one.signature} for one in waiting]}


def note_answer(state: State, response: Response, now: int) -> dict[str, Any]:
    """Take over what became of each report that waited, and tell it; or that this will be told later (OK_POLL), as by
    an on-prem server, which hears of it with a file. Raises VerificationFailed."""
    waiting, statuses = state.rum.waiting, {}
    if response.status_code == OK_POLL:
        promise = read_promise(response)
        at = now + promise.poll_interval * 1000
        state.rum = msgspec.structs.replace(state.rum, poll_id=promise.poll_id, poll_at=at)
    else:
        statuses = _read_acknowledgements(response)
        state.rum = still_waiting(msgspec.structs.replace(state.rum, poll_id=None), statuses)
    return {"reports": describe(waiting, statuses)}


def _read_acknowledgements(response: Response) -> dict[int, str]:
    try:
        told = msgspec.convert(response.data, Acknowledgements).acknowledgements
    except msgspec.ValidationError as error:
        raise VerificationFailed(f"The answer to the usage reports is incomplete: {error}.") from None
    return {one.report_id: one.status for one in told if one.report_id is not None}


def still_waiting(rum: Rum, statuses: Mapping[int, str]) -> Rum:
    unsent = [one for one in rum.waiting if one.report_id not in statuses]
    refused = [one for one in rum.waiting if statuses.get(one.report_id, "ACCEPTED") not in KEPT]
    return msgspec.structs.replace(rum, waiting=[*unsent, *refused])


def as_xml(waiting: Sequence[WaitingReport]) -> bytes:
    """The file in which a product without a connection saves its reports, to be uploaded by a person."""
    parts = []
    for one in waiting:
        content = msgspec.json.encode({"payload": one.payload, "signature": one.signature}).decode()
        # JSON of JSON holds no `]]>` but in a tag's name, where it may be written otherwise.
        content = content.replace("]]>", r"]]\u003e")
        parts.append(f"<RUMReport><![CDATA[{content}]]></RUMReport>")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<smartLicense>{"".join(parts)}</smartLicense>\n'.encode()


def describe(waiting: Sequence[WaitingReport], statuses: Mapping[int, str]) -> list[dict[str, Any]]:
    return [
        {"report_id": one.report_id, "tag": one.tag, "status": statuses.get(one.report_id, WAITING)} for one in waiting
    ]
