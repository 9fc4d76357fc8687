"""Bad input: each gets its error code, signed or not, and changes nothing."""

import json
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from django.db import OperationalError

from licensing.models import IdToken, InstanceContact, Pool, ProductInstance, UdiClaim, Usage
from licensing.services.devices import applications, authorization
from licensing.services.devices.endings import remove_instance
from licensing.services.devices.tokens import create_token, find_token, revoke_token
from licensing.services.exchange import dispatch
from licensing.services.exchange.dispatch import answer_message
from tests.keys import load_keys
from tests.licensing.device_driver import Device, Reply, make_csr, sign_text


@pytest.fixture
def changes_nothing(count_rows, registered):
    """What stands in every table, and in the rows a message could change, is as before."""

    def state():
        models = (IdToken, InstanceContact, Pool, ProductInstance, UdiClaim, Usage)
        return count_rows(), [list(model.objects.order_by("pk").values()) for model in models]

    before = state()
    yield
    assert state() == before


def ca_csr(key, name):
    return make_csr(key, name, extensions=(x509.BasicConstraints(ca=True, path_length=None),))


WEAK_KEY = rsa.generate_private_key(public_exponent=65537, key_size=1024)  # noqa: S505  weak on purpose
OTHER_KEY = load_keys()[11]


@pytest.mark.usefixtures("changes_nothing")
class TestRegistration:
    def newcomer(self, registered, **options):
        return Device(registered.now, 7, **options)

    @pytest.mark.parametrize(
        "data",
        [
            {"id_token": 1},
            {"id_token": ...},
            {"csr": None},
            {"software_tag_identifier": ""},
            {"software_tag_identifier": "x" * 300},
            {"hostname": "a\x00b"},
            {"hostname": "x" * 256},
            {"hostname": "a\nb"},
            {"ip_address": 7},
            {"surprise": 1},
            {"ha_peers": [{"udi_pid": "A"}]},
            {"ha_peers": [{"udi_pid": "A", "udi_serial_number": "B"}] * 65},
        ],
    )
    def test_data_out_of_order_is_malformed(self, registered, token, data):
        device = self.newcomer(registered)
        members = {k: v for k, v in {**device.registration(token), **data}.items() if v is not ...}
        reply = device.ask("REGISTRATION", members)
        assert (reply.code, reply.is_signed) == ("MALFORMED", False)

    @pytest.mark.parametrize(
        ("csr", "reason"),
        [
            (lambda device: "no PEM", "PEM"),
            (lambda device: make_csr(WEAK_KEY, device.udi), "2048"),
            (lambda device: ca_csr(device.key, device.udi), "CA:TRUE"),
            (lambda device: make_csr(device.key, device.udi).replace("A", "B", 40), ""),
        ],
    )
    def test_a_csr_that_we_do_not_certify(self, registered, token, csr, reason):
        device = self.newcomer(registered)
        reply = device.register(token, csr=csr(device))
        assert (reply.code, reply.is_signed) == ("CSR_INVALID", False)
        assert reason in reply.content["status_message"]

    def test_a_csr_signed_with_sha1_or_of_an_elliptic_key_is_not_certified(self, registered, token):
        device = self.newcomer(registered)
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, device.udi)])
        sha512 = x509.CertificateSigningRequestBuilder().subject_name(name).sign(device.key, hashes.SHA512())
        assert device.register(token, csr=sha512.public_bytes(Encoding.PEM).decode()).code == "CSR_INVALID"

    @pytest.mark.parametrize("name", ["C9300-24UX:OTHER", "C9300-24UX", "c9300-24ux:fcw2134l007"])
    def test_a_csr_for_another_udi(self, registered, token, name):
        device = self.newcomer(registered)
        assert device.register(token, csr=make_csr(device.key, name)).code == "UDI_MISMATCH"

    def test_a_signature_by_another_key(self, registered, token):
        device = self.newcomer(registered)
        text = device.text("REGISTRATION", device.registration(token))
        reply = device.send(sign_text(text, OTHER_KEY))
        assert (reply.code, reply.is_signed) == ("SIGNATURE_INVALID", False)

    def test_a_text_changed_after_it_was_signed(self, registered, token):
        device = self.newcomer(registered)
        body = device.request("REGISTRATION", device.registration(token))
        assert device.send(body.replace(b"C_agent", b"D_agent")).code == "SIGNATURE_INVALID"

    @pytest.mark.parametrize("hours", [25, -25])
    def test_a_clock_25_hours_off(self, registered, token, hours):
        device = self.newcomer(registered)
        wrong = int((device.now + timedelta(hours=hours)).timestamp() * 1000)
        reply = device.ask("REGISTRATION", device.registration(token), timestamp=wrong)
        assert reply.code == "CLOCK_SKEW"
        assert reply.data == {"server_time": int(device.now.timestamp() * 1000), "last_timestamp": 0}

    @pytest.mark.parametrize("value", ["", "nonsense", "%00", "x" * 4000, "ü"])
    def test_a_token_that_is_none(self, registered, value):
        assert self.newcomer(registered).register(value).code == "TOKEN_INVALID"

    def test_a_token_that_differs_in_one_character(self, registered, token):
        other = "B" if token[30] != "B" else "C"
        assert self.newcomer(registered).register(token[:30] + other + token[31:]).code == "TOKEN_INVALID"

    def test_another_version(self, registered, token):
        device = self.newcomer(registered)
        reply = device.ask("REGISTRATION", device.registration(token), version="2.0")
        assert reply.code == "UNSUPPORTED_VERSION"


def test_an_expired_a_revoked_and_an_exhausted_token(registered, actor_of, alice, engineering, count_rows, now):
    actor = actor_of(alice)
    options = {"expired": {"lifetime_days": 1}, "revoked": {}, "exhausted": {"max_uses": 1}}
    values = {
        name: create_token(actor=actor, virtual_account=engineering, now=now, **chosen)[1]
        for name, chosen in options.items()
    }
    revoke_token(actor=actor, token=find_token(values["revoked"]), now=now)
    assert Device(now, 6).register(values["exhausted"]).code is None
    before = count_rows()
    later = now + timedelta(days=1)
    assert Device(later, 7).register(values["expired"]).code == "TOKEN_EXPIRED"
    assert Device(later, 7).register(values["revoked"]).code == "TOKEN_REVOKED"
    assert Device(later, 7).register(values["exhausted"]).code == "TOKEN_EXHAUSTED"
    assert count_rows() == before


@pytest.mark.usefixtures("changes_nothing")
class TestInstance:
    @pytest.mark.parametrize("piid", [None, "", "nonsense", "7f1c6a0e-0b0f-4d5e-9d2b-2f3f1f3c9a10"])
    def test_an_unknown_instance_is_not_registered(self, registered, piid):
        reply = registered.ask("AUTHORIZATION", {"entitlements": []}, product_instance_identifier=piid)
        assert (reply.code, reply.is_signed) == ("NOT_REGISTERED", False)

    def test_a_signature_by_another_key(self, registered):
        registered.key = OTHER_KEY
        reply = registered.authorize({})
        assert (reply.code, reply.is_signed) == ("SIGNATURE_INVALID", False)

    @pytest.mark.parametrize("serial", [None, "", "1", "nonsense"])
    def test_a_serial_number_that_is_not_of_the_signing_key(self, registered, serial):
        reply = registered.ask("AUTHORIZATION", {"entitlements": []}, id_cert_serial_number=serial)
        assert (reply.code, reply.is_signed) == ("SIGNATURE_INVALID", False)

    def test_an_acknowledgement_of_another_certificate(self, registered):
        data = {"acknowledges": "REGISTRATION", "id_cert_serial_number": "1"}
        assert registered.ask("ACK", data).code == "SIGNATURE_INVALID"

    def test_an_acknowledgement_of_a_renewal_that_never_was(self, registered):
        data = {"acknowledges": "RENEWAL", "id_cert_serial_number": registered.id_cert_serial}
        assert registered.ask("ACK", data).code == "UNSUPPORTED_REQUEST"

    @pytest.mark.parametrize("hours", [25, -25])
    def test_a_clock_25_hours_off(self, registered, hours):
        wrong = int((registered.now + timedelta(hours=hours)).timestamp() * 1000)
        last = registered.last
        reply = registered.ask("AUTHORIZATION", {"entitlements": []}, timestamp=wrong)
        assert (reply.code, reply.is_by(registered.signing_cert)) == ("CLOCK_SKEW", True)
        assert reply.data == {"server_time": int(registered.now.timestamp() * 1000), "last_timestamp": last}

    def test_a_message_that_is_not_newer(self, registered):
        last = registered.last
        for timestamp in (last, last - 1):
            reply = registered.ask("AUTHORIZATION", {"entitlements": []}, timestamp=timestamp)
            assert (reply.code, reply.is_by(registered.signing_cert)) == ("REPLAYED", True)
            assert reply.data["last_timestamp"] == last

    def test_another_udi(self, registered):
        reply = registered.ask("AUTHORIZATION", {"entitlements": []}, sudi={"udi_pid": "A", "udi_serial_number": "B"})
        assert (reply.code, reply.is_by(registered.signing_cert)) == ("UDI_MISMATCH", True)

    def test_an_expired_certificate(self, registered):
        registered.wait(days=365)
        reply = registered.authorize({})
        assert (reply.code, reply.is_by(registered.signing_cert)) == ("CERTIFICATE_EXPIRED", True)

    @pytest.mark.parametrize("kind", ["nonsense"])
    def test_a_type_of_another_release(self, registered, kind):
        reply = registered.ask(kind, {"anything": 1})
        assert (reply.code, reply.is_by(registered.signing_cert)) == ("UNSUPPORTED_REQUEST", True)

    def test_another_version_is_refused_in_a_signed_answer(self, registered):
        reply = registered.ask("AUTHORIZATION", {"entitlements": []}, version="2.0")
        assert (reply.code, reply.is_by(registered.signing_cert)) == ("UNSUPPORTED_VERSION", True)

    @pytest.mark.parametrize(
        "data",
        [
            {},
            {"entitlements": [{"tag": "a", "count": 1}, {"tag": "a", "count": 1}]},
            {"entitlements": [{"tag": "a", "count": -1}]},
            {"entitlements": [{"tag": "a", "count": 10**9 + 1}]},
            {"entitlements": [{"tag": "a\x00", "count": 1}]},
            {"entitlements": [{"tag": "\ud800", "count": 1}]},
            {"entitlements": [], "surprise": 1},
        ],
    )
    def test_use_out_of_order_is_malformed(self, registered, data):
        reply = registered.ask("AUTHORIZATION", data)
        assert (reply.code, reply.is_signed) == ("MALFORMED", False)

    def test_a_deregistration_with_data_is_malformed(self, registered):
        assert registered.ask("DEREGISTRATION", {"why": 1}).code == "MALFORMED"

    def test_our_own_failure_asks_to_try_again_and_tells_nothing(self, registered, monkeypatch):
        def fail(**_):
            raise ZeroDivisionError("a secret detail")

        monkeypatch.setattr(authorization, "assess", fail)
        reply = registered.authorize({})
        assert reply.content["status_code"] == "OK_TRY_AGAIN"
        assert reply.content["error_code"] == "INTERNAL"
        assert reply.content["retry_time_seconds"] == 60
        assert "secret" not in reply.text


def test_an_instance_that_was_removed_is_not_registered(registered, actor_of, bob):
    remove_instance(actor=actor_of(bob), instance=ProductInstance.objects.get(), now=registered.now)
    reply = registered.authorize({})
    assert (reply.code, reply.is_signed) == ("NOT_REGISTERED", False)


def test_a_passing_trouble_of_the_database_is_tried_again(registered, monkeypatch):
    assess, calls = authorization.assess, []

    def stumble(**arguments):
        calls.append(1)
        if len(calls) < 3:
            raise OperationalError("database is locked")
        return assess(**arguments)

    monkeypatch.setattr(authorization, "assess", stumble)
    assert registered.authorize({}).code is None
    assert len(calls) == 3


def test_more_than_10_messages_a_second_are_refused_after_a_burst_of_50(registered):
    registered.wait(minutes=1)
    codes = [registered.authorize({}).code for _ in range(51)]
    assert codes == [None] * 50 + ["RATE_LIMITED"]
    registered.wait(seconds=1)
    assert [registered.authorize({}).code for _ in range(11)] == [None] * 10 + ["RATE_LIMITED"]


def test_more_registrations_than_an_account_may_have_are_put_off(token, foreign_token, now, monkeypatch):
    """And count against nobody: many products share the address of their site."""
    monkeypatch.setattr(applications, "REGISTRATIONS", dispatch.Limit("few-registrations", per_second=1 / 30, burst=2))
    monkeypatch.setattr(dispatch, "BAD_MESSAGES", dispatch.Limit("few", per_second=1 / 30, burst=2))
    replies = [Device(now, number).register(token) for number in range(2, 6)]
    assert [reply.code for reply in replies] == [None, None, "RATE_LIMITED", "RATE_LIMITED"]
    assert replies[-1].content["retry_time_seconds"] >= 1
    assert Device(now, 6).register(foreign_token).code is None
    assert Device(now + timedelta(minutes=3), 4).register(token).code is None


def test_a_refused_message_counts_against_nobody_who_proved_a_key(registered, monkeypatch):
    monkeypatch.setattr(dispatch, "BAD_MESSAGES", dispatch.Limit("few", per_second=1 / 30, burst=2))
    stranger = Device(registered.now, 9, piid=registered.piid, id_cert_serial=registered.id_cert_serial)
    assert [stranger.authorize({}).code for _ in range(3)] == ["SIGNATURE_INVALID", "SIGNATURE_INVALID", "RATE_LIMITED"]
    elsewhere = answer_message(body=registered.request("ACK", {}), source_ip="192.0.2.9", now=registered.now)
    assert Reply(elsewhere).code == "MALFORMED"
    good = registered.request("AUTHORIZATION", {"entitlements": []})
    assert Reply(answer_message(body=good, source_ip="192.0.2.9", now=registered.now)).code is None


def test_a_malformed_message_gets_back_what_could_be_read_of_it(registered):
    text = json.dumps({"header": {"nonce": "12345678", "sudi": registered.sudi}, "data": {}})
    reply = registered.send(sign_text(text, registered.key))
    assert reply.code == "MALFORMED"
    assert reply.header["nonce"] == "12345678"
    assert reply.header["sudi"] == registered.sudi
