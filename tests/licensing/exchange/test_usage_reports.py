"""RUM_REPORT: kept byte for byte, verified where the key is ours, acknowledged once, metered once."""

import json
from datetime import date, timedelta
from typing import Any

import pytest
import time_machine
from cryptography.hazmat.primitives.serialization import Encoding
from django.test import Client

from accounts.models import Event
from licensing.codecs.soap import SoapVersion, open_envelope, wrap_message
from licensing.models import Meter, MeteredDay, ProductInstance, RumMeasurement, RumReport
from licensing.services.devices.blocking import block_product_key
from licensing.services.exchange.rum.metering import name_meters
from licensing.states import Billing
from tests.keys import load_keys
from tests.licensing.device_driver import Device, Reply, sign_text
from tests.licensing.usage_reports import (
    HOUR,
    METERED,
    builtin,
    hand_in,
    measurement,
    moment,
    payload_of,
    report,
    sign_report,
    statuses,
)

DAY1, DAY2 = moment("2026-03-01T00:00:00"), moment("2026-03-02T00:00:00")
MEASUREMENTS_OUT_OF_ORDER: list[dict[str, Any]] = [
    {"start_time": -1},
    {"end_time": 0},
    {"value": {"type": "COUNT", "value": "-1"}},
    {"value": {"type": "COUNT", "value": "1e3"}},
    {"value": {"type": "COUNT", "value": "10000000000"}},
    {"value": {"type": "COUNT", "value": 10**9 + 1}},
    {"value": {"type": "COUNT", "value": None}},
    {"value": "3"},
    {"start_time": 0},
    {"end_time": 4_000_000_000},
    {"num_samples": "many"},
]
NO_PAYLOADS = [
    "",
    "{}",
    "[]",
    "null",
    '{"version": "2.0", "version": "2.0"}',
    '{"meta": NaN}',
    "[" * 100_000,
    '{"asset_identification": ' * 50_000,
    '{"measurements": [' + "1," * 10_000 + "1]}",
]
NO_MESSAGES: list[dict[str, Any]] = [
    {},
    {"reports": []},
    {"reports": [{"payload": "{}"}]},
    {"reports": [{"payload": {}, "signature": {"signing_type": "builtin", "value": ""}}]},
    {"reports": [{"payload": "{}", "signature": {"signing_type": "builtin", "value": "", "more": 1}}]},
    {"reports": [{"payload": "{}", "header": 1, "signature": {"signing_type": "builtin", "value": ""}}]},
]


def days() -> dict[date, tuple[int, int, int]]:
    return {row.day: (row.unit_seconds, row.peak, row.covered_seconds) for row in MeteredDay.objects.order_by("day")}


class TestAReportIsKept:
    def test_byte_for_byte_and_verified(self, registered, engineering):
        one = report(registered, 7, measurement(DAY1, DAY1 + HOUR, 3))
        reply = hand_in(registered, one)
        assert (reply.code, reply.is_by(registered.signing_cert)) == (None, True)
        assert reply.data == {"acknowledgements": [{"report_id": 7, "status": "ACCEPTED"}]}
        row = RumReport.objects.get()
        assert (row.payload, row.is_verified, row.report_id) == (one["payload"], True, 7)
        assert (row.virtual_account, row.instance) == (engineering, ProductInstance.objects.get())
        event = Event.objects.get(name="rum.received")
        assert event.data == {"udi": registered.udi, "count": 1, "verified": 1}

    def test_a_builtin_signature_is_kept_and_not_verified(self, registered):
        payload = payload_of(registered.sudi, 8, measurement(DAY1, DAY2, 1))
        assert statuses(hand_in(registered, builtin(payload))) == [(8, "ACCEPTED")]
        assert RumReport.objects.get().is_verified is False

    def test_with_the_header_that_came_with_it(self, registered):
        one = {**report(registered, 7, measurement(DAY1, DAY2, 1)), "header": {"type": "rum"}}
        assert hand_in(registered, one).code is None
        assert json.loads(RumReport.objects.get().header) == {"type": "rum"}

    def test_of_a_license_that_the_catalog_does_not_know_until_it_does(self, registered, make_license):
        hand_in(registered, report(registered, 1, measurement(DAY1, DAY1 + HOUR, 3)))
        assert Meter.objects.get().license is None
        license = make_license(METERED, billing=Billing.USAGE)
        hand_in(registered, report(registered, 2, measurement(DAY1 + HOUR, DAY1 + 2 * HOUR, 3)))
        assert Meter.objects.get().license == license
        assert MeteredDay.objects.billed_by_use().get().unit_seconds == 6 * 3600

    def test_and_the_last_report_of_a_product_is_not_lost_when_the_catalog_learns_of_the_license(
        self, registered, make_license
    ):
        hand_in(registered, report(registered, 1, measurement(DAY1, DAY1 + HOUR, 3)))
        assert name_meters(now=registered.now) == 0
        make_license(METERED, billing=Billing.USAGE)
        assert name_meters(now=registered.now) == 1
        assert MeteredDay.objects.billed_by_use().get().unit_seconds == 3 * 3600

    def test_signed_with_the_key_before_a_renewal(self, registered):
        waiting = report(registered, 1, measurement(DAY1, DAY2, 1))
        _, renewed = registered.renew(5)
        assert renewed.ack("RENEWAL").code is None
        assert statuses(hand_in(renewed, waiting)) == [(1, "ACCEPTED")]
        assert RumReport.objects.get().is_verified is True


class TestAReportIsRefused:
    @pytest.fixture(autouse=True)
    def _nothing_changes(self, registered, count_rows):
        rows = count_rows()
        yield
        assert count_rows() == rows

    def test_when_it_was_serialised_anew(self, registered):
        one = report(registered, 7, measurement(DAY1, DAY2, 3))
        one["payload"] = json.dumps(json.loads(one["payload"]))
        reply = hand_in(registered, one)
        assert (reply.code, reply.is_signed) == ("SIGNATURE_INVALID", False)
        assert statuses(reply) == [(7, "SIGNATURE_INVALID")]

    def test_when_its_key_is_none_of_ours(self, registered):
        payload = payload_of(registered.sudi, 7, measurement(DAY1, DAY2, 3))
        for key in ("", "00", "1234abcd"):
            assert hand_in(registered, sign_report(registered, payload, key=key)).code == "SIGNATURE_INVALID"

    def test_when_it_is_signed_in_a_way_that_nobody_knows(self, registered):
        payload = payload_of(registered.sudi, 7, measurement(DAY1, DAY2, 3))
        assert hand_in(registered, sign_report(registered, payload, signing_type="none")).code == "SIGNATURE_INVALID"

    def test_when_another_key_has_signed_it(self, registered):
        payload = payload_of(registered.sudi, 7, measurement(DAY1, DAY2, 3))
        other = Device(registered.now, key=load_keys()[4], id_cert_serial=registered.id_cert_serial)
        assert hand_in(registered, sign_report(other, payload)).code == "SIGNATURE_INVALID"

    def test_when_it_is_of_another_product(self, registered):
        sudi = {"udi_pid": "C9300-24UX", "udi_serial_number": "OTHER"}
        reply = hand_in(registered, sign_report(registered, payload_of(sudi, 7, measurement(DAY1, DAY2, 3))))
        assert (reply.code, reply.is_by(registered.signing_cert)) == ("UDI_MISMATCH", True)

    def test_when_a_measurement_is_out_of_order(self, registered):
        for change in MEASUREMENTS_OUT_OF_ORDER:
            one = report(registered, 7, {**measurement(DAY1, DAY2, 3), **change})
            assert hand_in(registered, one).code == "MALFORMED", change

    def test_when_its_payload_is_none(self, registered):
        for payload in NO_PAYLOADS:
            assert hand_in(registered, sign_report(registered, payload)).code == "MALFORMED", payload[:50]

    def test_when_it_holds_nan_or_too_many_measurements(self, registered):
        good = payload_of(registered.sudi, 7, measurement(DAY1, DAY2, 3))
        for wrong in (good.replace('"num_samples":2', '"num_samples":NaN'), good.replace('"3"', "Infinity")):
            assert hand_in(registered, sign_report(registered, wrong)).code == "MALFORMED"
        many = payload_of(registered.sudi, 7, *[measurement(DAY1, DAY1, 1, meta={})] * 5001)
        assert hand_in(registered, sign_report(registered, many)).code == "MALFORMED"

    def test_when_its_version_is_not_known(self, registered):
        payload = payload_of(registered.sudi, 7, measurement(DAY1, DAY2, 3)).replace('"2.0"', '"3.0"')
        assert hand_in(registered, sign_report(registered, payload)).code == "UNSUPPORTED_VERSION"

    def test_when_the_message_is_out_of_order(self, registered):
        for data in NO_MESSAGES:
            reply = registered.ask("RUM_REPORT", data)
            assert (reply.code, reply.is_signed) == ("MALFORMED", False), data


def test_a_report_signed_by_a_compromised_key_is_refused(registered, olivia, actor_of, token):
    waiting = report(registered, 1, measurement(DAY1, DAY2, 1))
    pem = registered.id_cert.public_bytes(Encoding.PEM)
    block_product_key(actor=actor_of(olivia), text=pem.decode(), reason="leaked", now=registered.now)
    again = Device(registered.now, 6, sudi=registered.sudi)
    assert again.register(token).code is None
    assert hand_in(again, waiting).code == "SIGNATURE_INVALID"


def test_one_report_that_cannot_be_taken_holds_up_no_other(registered):
    good = report(registered, 1, measurement(DAY1, DAY2, 1))
    bad = sign_report(registered, payload_of(registered.sudi, 2, measurement(DAY1, DAY2, 1)), value="AAAA")
    reply = hand_in(registered, bad, good)
    assert (reply.code, statuses(reply)) == (None, [(2, "SIGNATURE_INVALID"), (1, "ACCEPTED")])
    assert RumReport.objects.get().report_id == 1


class TestWhatComesTwice:
    def test_is_acknowledged_again_and_counted_once(self, registered):
        one = report(registered, 7, measurement(DAY1, DAY1 + HOUR, 3))
        assert statuses(hand_in(registered, one, one)) == [(7, "ACCEPTED")]
        before, events = days(), Event.objects.count()
        assert statuses(hand_in(registered, one)) == [(7, "DUPLICATE")]
        assert (RumReport.objects.count(), days(), Event.objects.count()) == (1, before, events)
        assert before == {DAY1.date(): (3 * 3600, 3, 3600)}

    def test_grown_takes_the_place_of_what_was_open(self, registered):
        first = measurement(DAY1, DAY1 + HOUR, 3)
        hand_in(registered, report(registered, 7, first))
        grown = [measurement(DAY1, DAY1 + 2 * HOUR, 3), measurement(DAY1 + 2 * HOUR, DAY1 + 3 * HOUR, 5)]
        grown[-1]["meta"] = {"close_reason": "ProductReload"}
        assert statuses(hand_in(registered, report(registered, 7, *grown))) == [(7, "ACCEPTED")]
        assert days() == {DAY1.date(): ((2 * 3 + 5) * 3600, 5, 3 * 3600)}
        old, new = RumReport.objects.order_by("pk")
        assert (old.superseded_at, new.supersedes) == (registered.now, old)
        # The shorter one again is known; the closed one grows no more.
        assert statuses(hand_in(registered, report(registered, 7, first))) == [(7, "DUPLICATE")]
        longer = report(registered, 7, *grown, measurement(DAY1 + 3 * HOUR, DAY2, 9))
        assert hand_in(registered, longer).code == "REPLAYED"
        assert RumReport.objects.count() == 2

    def test_with_another_content_is_refused(self, registered):
        hand_in(registered, report(registered, 7, measurement(DAY1, DAY1 + HOUR, 3)))
        before = days()
        others = {
            "shorter": report(registered, 7, measurement(DAY1, DAY1 + HOUR / 2, 1)),
            "later start": report(registered, 7, measurement(DAY1 + HOUR / 2, DAY2, 3)),
            "another license": report(registered, 7, measurement(DAY1, DAY2, 3), tag="another"),
            "less proof": builtin(payload_of(registered.sudi, 7, measurement(DAY1, DAY2, 1))),
        }
        for name, other in others.items():
            assert hand_in(registered, other).code == "REPLAYED", name
        assert (days(), RumReport.objects.count()) == (before, 1)


class TestADay:
    def test_holds_its_share_of_a_measurement_that_spans_several(self, registered):
        start, end = DAY1 - 2 * HOUR, DAY2 + 3 * HOUR
        hand_in(registered, report(registered, 1, measurement(start, end, 4)))
        assert days() == {
            date(2026, 2, 28): (4 * 2 * 3600, 4, 2 * 3600),
            date(2026, 3, 1): (4 * 86400, 4, 86400),
            date(2026, 3, 2): (4 * 3 * 3600, 4, 3 * 3600),
        }

    def test_counts_the_highest_where_reports_lie_over_each_other(self, registered):
        hand_in(registered, report(registered, 1, measurement(DAY1, DAY1 + 4 * HOUR, 2)))
        hand_in(registered, report(registered, 2, measurement(DAY1 + 1 * HOUR, DAY1 + 2 * HOUR, 5)))
        hand_in(registered, report(registered, 3, measurement(DAY1 + 3 * HOUR, DAY1 + 6 * HOUR, 1)))
        assert days() == {DAY1.date(): ((2 + 5 + 2 + 2 + 1 + 1) * 3600, 5, 6 * 3600)}

    def test_is_the_same_in_whatever_order_reports_come(self, registered):
        made = [report(registered, n, measurement(DAY1 + n * HOUR, DAY1 + (n + 3) * HOUR, n)) for n in (1, 2, 3, 4)]
        hand_in(registered, *made[::-1])
        assert days() == {DAY1.date(): ((1 + 2 + 3 + 4 * 3) * 3600, 4, 6 * 3600)}

    def test_of_one_license_says_nothing_of_another(self, registered):
        hand_in(
            registered,
            report(registered, 1, measurement(DAY1, DAY1 + HOUR, 2)),
            report(registered, 2, measurement(DAY1, DAY1 + HOUR, 3), tag="other"),
        )
        assert {row.meter.tag: row.unit_seconds for row in MeteredDay.objects.all()} == {METERED: 7200, "other": 10800}

    def test_counts_nothing_of_a_product_that_stood_by_nor_of_what_is_no_count(self, registered):
        peers = [{"role": "Standby", "sudi": registered.sudi}, {"role": "Active", "sudi": {"uuid": "peer"}}]
        hand_in(registered, report(registered, 1, measurement(DAY1, DAY2, 2), ha_udi=peers))
        other = measurement(DAY1, DAY2, 2, value={"type": "BANDWIDTH", "value": "10 Mbit/s"})
        hand_in(registered, report(registered, 2, other))
        assert (RumReport.objects.count(), RumMeasurement.objects.count(), days()) == (2, 2, {})


class TestTheMessage:
    def test_repeated_gets_the_same_bytes_and_no_second_effect(self, registered):
        body = registered.request("RUM_REPORT", {"reports": [report(registered, 1, measurement(DAY1, DAY2, 1))]})
        first = registered.send(body)
        assert registered.send(body).body == first.body
        assert statuses(first) == [(1, "ACCEPTED")]

    def test_may_be_longer_than_others_up_to_16_mebibytes(self, registered):
        long = [report(registered, n, measurement(DAY1, DAY2, 1), note="x" * 900_000) for n in (1, 2)]
        assert statuses(hand_in(registered, *long)) == [(1, "ACCEPTED"), (2, "ACCEPTED")]
        text = registered.text("AUTHORIZATION", {"entitlements": [], "RUM_REPORT": "x" * 1_100_000})
        assert registered.send(sign_text(text, registered.key)).code == "MALFORMED"

    def test_is_refused_with_one_bit_flipped(self, registered):
        body = registered.request("RUM_REPORT", {"reports": [report(registered, 1, measurement(DAY1, DAY2, 1))]})
        place = body.index(b"ENTITLEMENT")
        wrong = body[:place] + bytes([body[place] ^ 1]) + body[place + 1 :]
        assert registered.send(wrong).code == "SIGNATURE_INVALID"
        assert not RumReport.objects.exists()

    def test_counts_where_the_product_is_now_and_what_was_open_where_it_began(
        self, registered, default_va, engineering, alice, actor_of
    ):
        hand_in(registered, report(registered, 1, measurement(DAY1, DAY1 + HOUR, 1)))
        ProductInstance.objects.update(virtual_account=default_va)
        registered.wait(hours=1)
        hand_in(registered, report(registered, 1, measurement(DAY1, DAY1 + 2 * HOUR, 1)))
        hand_in(registered, report(registered, 2, measurement(DAY1 + 2 * HOUR, DAY1 + 3 * HOUR, 1)))
        by_account = {row.virtual_account: row.unit_seconds for row in MeteredDay.objects.all()}
        assert by_account == {engineering: 7200, default_va: 3600}


def test_a_report_of_a_whole_year_is_taken_and_one_of_more_is_not(registered):
    year = report(registered, 1, measurement(DAY1 - timedelta(days=366), DAY1, 1))
    more = report(registered, 2, measurement(DAY1 - timedelta(days=367), DAY1, 1))
    assert hand_in(registered, year).code is None
    assert MeteredDay.objects.count() == 366
    assert hand_in(registered, more).code == "MALFORMED"


def test_a_long_report_comes_over_http_and_soap_too_and_nothing_else_may_be_as_long(registered):
    long = [report(registered, n, measurement(DAY1, DAY2, 1), note="x" * 900_000) for n in (1, 2)]
    with time_machine.travel(registered.now, tick=False):
        body = registered.request("RUM_REPORT", {"reports": long})
        answer = Client().post("/licservice/license", body, content_type="application/json")
        assert statuses(Reply(answer.content)) == [(1, "ACCEPTED"), (2, "ACCEPTED")]
        soap = wrap_message(registered.request("RUM_REPORT", {"reports": long}), SoapVersion.V1_1)
        called = Client().post("/its/service/oddce/services/DDCEService", soap, content_type="text/xml")
        assert statuses(Reply(open_envelope(called.content).message)) == [(1, "DUPLICATE"), (2, "DUPLICATE")]
        other = wrap_message(registered.request("ACK", {"x": "x" * 1_100_000}), SoapVersion.V1_1)
        refused = Client().post("/its/service/oddce/services/DDCEService", other, content_type="text/xml")
        assert refused.status_code == 413
        too_long = b'{"request": "RUM_REPORT' + b" " * 16 * 1024 * 1024
        assert Client().post("/licservice/license", too_long, content_type="application/json").status_code == 413
