"""CONVERSION and POLL as a product sends them: once per product and line, whatever gets lost or is said again."""

import json
import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from accounts.models import Event, SmartAccount, VirtualAccount
from accounts.services.virtual_accounts import delete_virtual_account
from cssm.common.errors import Conflict
from licensing.models import Conversion, PendingAnswer, Pool, PurchaseLine
from licensing.services.exchange import conversions
from licensing.services.exchange.conversions import carry_out_due
from licensing.services.exchange.polling import forget_answers
from licensing.states.conversions import ConversionReason
from tests.licensing.device_driver import SOFTWARE_TAG, Device, Reply

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _catalog(make_license):
    make_license("router")
    make_license("switch", default_type="term")


def line(tag: str = "router", count: int = 5, kind: str = "TRUST_BASED", **more: Any) -> dict[str, Any]:
    return {"conversion_type": kind, "entitlement_tag": tag, "count": count, **more}


def convert(device: Device, *lines: dict[str, Any]) -> Reply:
    device.wait(seconds=1)
    return device.ask("CONVERSION", {"software_tag_identifier": SOFTWARE_TAG, "conversion_lines": list(lines)})


def poll(device: Device, poll_id: Any) -> Reply:
    device.wait(seconds=1)
    return device.ask("POLL", {"poll_id": poll_id})


def outcome(device: Device, *lines: dict[str, Any]) -> tuple[str, str]:
    """Ask, let the sweep run, and ask for the result."""
    poll_id = convert(device, *lines).data["poll_id"]
    carry_out_due(now=device.now)
    data = poll(device, poll_id).data
    return data["conversion_status"], data["status_message"]


def owned() -> list[tuple[str, int, str, str]]:
    rows = PurchaseLine.objects.order_by("pk")
    return list(rows.values_list("license__tag", "quantity", "license_type", "source"))


def test_lines_become_purchase_lines_and_the_product_polls_for_the_result(registered: Device, engineering):
    reply = convert(registered, line(), line("switch", 2, "LICENSE_FILE", payload="INCREMENT x\n"))
    assert (reply.content["status_code"], reply.data["poll_interval"]) == ("OK_POLL", 30)
    assert reply.is_by(registered.signing_cert)
    waiting = poll(registered, reply.data["poll_id"])
    assert (waiting.content["status_code"], waiting.data) == ("OK_POLL", reply.data)
    assert owned() == []

    assert carry_out_due(now=registered.now) == 1
    done = poll(registered, str(reply.data["poll_id"]))
    assert (done.content["status_code"], done.is_by(registered.signing_cert)) == ("OK", True)
    assert done.data == {"conversion_status": "COMPLETED", "status_message": ""}
    assert owned() == [("router", 5, "perpetual", "conversion"), ("switch", 2, "term", "conversion")]
    assert dict(Pool.objects.values_list("license__tag", "purchased")) == {"router": 5, "switch": 2}
    assert PurchaseLine.objects.filter(virtual_account=engineering, end=None).count() == 2
    [event] = Event.objects.filter(name="licenses.converted")
    assert (event.actor_kind, event.data["summary"]) == ("product", "5 Router, 2 Switch")


def test_an_answer_that_was_lost_comes_again_and_nothing_happens_twice(registered: Device):
    body = registered.request("CONVERSION", {"software_tag_identifier": SOFTWARE_TAG, "conversion_lines": [line()]})
    first = registered.send(body)
    assert registered.send(body).body == first.body
    again = convert(registered, line())
    assert again.data == first.data
    assert (Conversion.objects.count(), PendingAnswer.objects.count()) == (1, 1)
    carry_out_due(now=registered.now)
    answers = {poll(registered, first.data["poll_id"]).text.partition('"data"')[2] for _ in range(3)}
    assert len(answers) == 1
    assert convert(registered, line()).data == {"conversion_status": "COMPLETED", "status_message": ""}
    assert owned() == [("router", 5, "perpetual", "conversion")]


def test_a_line_is_converted_once_per_product_however_it_is_combined(registered: Device, token: str):
    assert outcome(registered, line())[0] == "COMPLETED"
    assert outcome(registered, line(), line("switch", 1))[0] == "COMPLETED"
    assert [(tag, quantity) for tag, quantity, *_ in owned()] == [("router", 5), ("switch", 1)]
    other = Device(registered.now, number=1)
    other.register(token)
    assert outcome(other, line())[0] == "COMPLETED"
    assert sum(quantity for tag, quantity, *_ in owned() if tag == "router") == 10


def test_another_count_of_a_converted_line_is_refused_with_the_reason_and_converts_nothing(registered: Device):
    outcome(registered, line())
    status, message = outcome(registered, line("switch", 1), line(count=6))
    assert (status, message.partition(";")[0]) == (
        "FAILED",
        "Line 2: 5 router of this product were converted on 2026-03-02, not 6",
    )
    assert [tag for tag, *_ in owned()] == ["router"]


def test_a_license_file_is_one_line_whatever_its_white_space(registered: Device):
    assert outcome(registered, line(kind="LICENSE_FILE", payload="A B\r\nC"))[0] == "COMPLETED"
    again = convert(registered, line(kind="LICENSE_FILE", payload="A  B\nC\n"))
    assert again.data["conversion_status"] == "COMPLETED"
    assert outcome(registered, line(count=3, kind="LICENSE_FILE", payload="another file"))[0] == "COMPLETED"
    assert [quantity for _, quantity, *_ in owned()] == [5, 3]


def test_an_unknown_tag_is_refused_with_the_reason_and_can_be_asked_for_again(registered: Device, make_license):
    assert outcome(registered, line(), line("unheard-of")) == ("FAILED", "Line 2: there is no license unheard-of.")
    assert owned() == []
    assert Event.objects.filter(name="conversion.refused").count() == 1
    make_license("unheard-of")
    assert outcome(registered, line(), line("unheard-of"))[0] == "COMPLETED"


def test_a_product_that_another_account_has_is_refused(registered: Device, umbrella: SmartAccount, foreign_token: str):
    """The claim lapsed, and the product registered with another company: what is asked for here counts nowhere."""
    asked = convert(registered, line())
    thief = Device(registered.now + timedelta(days=91), number=5, sudi=registered.sudi)
    assert thief.register(foreign_token).code is None
    registered.now = thief.now
    carry_out_due(now=registered.now)
    assert "another Smart Account" in poll(registered, asked.data["poll_id"]).data["status_message"]
    assert convert(registered, line("switch")).code == "UDI_REGISTERED_ELSEWHERE"
    assert owned() == []


def test_what_one_account_converted_no_other_converts_again(registered: Device, umbrella, foreign_token: str):
    assert outcome(registered, line())[0] == "COMPLETED"
    registered.deregister()
    moved = Device(registered.now, number=5, sudi=registered.sudi)
    assert moved.register(foreign_token).code is None
    status, message = outcome(moved, line())
    assert (status, "converted in another Smart Account" in message) == ("FAILED", True)
    assert "acme" not in message.lower()
    assert len(owned()) == 1


def test_only_who_asked_is_answered(registered: Device, token: str, foreign_token: str):
    poll_id = convert(registered, line()).data["poll_id"]
    carry_out_due(now=registered.now)
    for number, other_token in ((1, token), (2, foreign_token)):
        other = Device(registered.now, number=number)
        other.register(other_token)
        refused = poll(other, poll_id)
        assert (refused.code, refused.is_by(other.signing_cert)) == ("POLL_UNKNOWN", True)
    # The same product under a new registration is another one: its own request tells it the result.
    anew = Device(registered.now, number=0, sudi=registered.sudi)
    assert anew.register(token).code is None
    assert poll(anew, poll_id).code == "POLL_UNKNOWN"
    assert convert(anew, line()).data["conversion_status"] == "COMPLETED"


@pytest.mark.parametrize("poll_id", [None, -1, 2**63, 1.5, "", "1e3", "12345678901234567890", [1]])
def test_a_poll_out_of_order_is_malformed(registered: Device, poll_id: Any):
    reply = poll(registered, poll_id)
    assert (reply.code, reply.is_signed) == ("MALFORMED", False)


@pytest.mark.parametrize(
    "lines",
    [
        [],
        [line(count=0)],
        [line(count=10**9 + 1)],
        [line(count="5")],
        [line(kind="PAK")],
        [line(tag="")],
        [line(surprise=1)],
        [line(), line(count=6)],
        [line(kind="LICENSE_FILE", payload="A B"), line(kind="LICENSE_FILE", payload="A\nB")],
        [line(payload="x" * 65537)],
        [line(tag=f"t{n}") for n in range(1001)],
    ],
)
def test_lines_out_of_order_are_malformed_and_change_nothing(registered: Device, lines, count_rows):
    before = count_rows()
    reply = convert(registered, *lines)
    assert (reply.code, reply.is_signed) == ("MALFORMED", False)
    assert count_rows() == before


def test_a_virtual_account_waits_for_its_conversions_and_one_that_is_gone_takes_none(
    registered: Device, alice, engineering, actor_of
):
    poll_id = convert(registered, line()).data["poll_id"]
    with pytest.raises(Conflict, match="1 conversion in progress"):
        delete_virtual_account(actor=actor_of(alice), virtual_account=engineering, now=registered.now)
    VirtualAccount.objects.filter(pk=engineering.pk).update(deleted_at=registered.now)
    carry_out_due(now=registered.now)
    assert Conversion.objects.get().reason_code == "VIRTUAL_ACCOUNT_GONE"
    assert poll(registered, poll_id).data["conversion_status"] == "FAILED"


def test_a_fault_of_ours_puts_a_conversion_off_and_loses_nothing(registered: Device, monkeypatch):
    convert(registered, line())

    def fail(**_: Any) -> None:
        raise conversions.DatabaseError("disk full")

    with monkeypatch.context() as patched:
        patched.setattr(conversions, "convert_lines", fail)
        assert carry_out_due(now=registered.now) == 0
    assert carry_out_due(now=registered.now) == 0
    registered.wait(seconds=30)
    assert carry_out_due(now=registered.now) == 1
    assert len(owned()) == 1


def test_answers_are_encrypted_and_forgotten_after_90_days(registered: Device):
    convert(registered, line())
    carry_out_due(now=registered.now)
    assert b"COMPLETED" not in bytes(PendingAnswer.objects.get().answer)
    assert forget_answers(now=registered.now + timedelta(days=89)) == 0
    assert forget_answers(now=registered.now + timedelta(days=90)) == 1


def test_the_worked_example_of_the_cycle_page_goes_as_written(registered: Device):
    text = (Path(__file__).parents[3] / "docs" / "cycles" / "conversion.md").read_text()
    example = text[text.index("## A worked example") : text.index("## Answers that come later")]
    blocks = re.findall(r"(?:^    .*\n)+", example, flags=re.MULTILINE)
    first, completed, second, failed = (json.loads(block) for block in blocks)
    for request, expected in ((first, completed), (second, failed)):
        registered.wait(seconds=1)
        promise = registered.ask("CONVERSION", request)
        assert promise.content["status_code"] == "OK_POLL"
        carry_out_due(now=registered.now)
        assert poll(registered, promise.data["poll_id"]).data == expected
    assert [(tag, quantity) for tag, quantity, *_ in owned()] == [("router", 5), ("switch", 2)]


def test_every_reason_is_explained():
    page = (Path(__file__).parents[3] / "docs" / "cycles" / "conversion.md").read_text()
    assert [reason for reason in ConversionReason if f"`{reason}`" not in page] == []
