"""Export authorization keys: given out after screening, held like a reservation, given back by rule."""

import base64
import subprocess
from datetime import timedelta

import pytest

from accounts.models import Event
from accounts.services.actors import actor_for_user
from accounts.services.smart_accounts import set_account_flags
from accounts.states import ExportStatus
from cssm.common.errors import Conflict, Invalid, NotFound
from licensing.models import Hold, ProductInstance, Reservation
from licensing.services.devices.endings import end_compromised, remove_instance
from licensing.services.devices.lives import advance_lives
from licensing.services.devices.moving import transfer_instances
from licensing.services.devices.tokens import create_token
from licensing.services.exchange import export
from licensing.services.pools.fold import fold_due
from licensing.services.reservations.bulk_returns import return_by_code
from licensing.services.reservations.contents import Wanted
from licensing.services.reservations.expiry import expire_reservations
from licensing.services.reservations.rehost import rehost_reservation
from licensing.services.reservations.reserve import reserve_licenses
from licensing.services.reservations.updates import update_reservation
from licensing.states import InstanceState, ReservationState
from pki.services.authorities import export_trust
from tests.licensing.device_driver import Device
from tests.licensing.exchange.export_cast import HSEC, ask, figures, key_of, make_restricted, return_code
from tests.licensing.reservations.products import AirGapped, know_software
from tests.licensing.stock import deliver, line


def test_a_key_names_the_product_its_registration_and_one_entitlement(registered, hsec, engineering, now, tmp_path):
    key = key_of(registered, 2)
    assert key.startswith("<specificPLR><authorizationCode><flag>A</flag><version>C</version>")
    assert f"<piid>{registered.piid}</piid>" in key
    assert key.count("<entitlement>") == 1
    assert (
        f"<entitlement><tag>{HSEC}</tag><count>2</count><startDate></startDate><endDate></endDate>"
        "<licenseType>EXPORT</licenseType><displayName>Router US Export Lic. for DNA</displayName>" in key
    )
    assert key.endswith("<udi>P:C9300-24UX,S:FCW2134L000</udi></specificPLR>")
    assert openssl_accepts(key, tmp_path)
    assert not openssl_accepts(key.replace("<count>2", "<count>3"), tmp_path)
    assert figures(hsec, engineering, now) == (2, 3)
    event = Event.objects.get(name="export_key.issued")
    assert event.message == (
        "C9300-24UX:FCW2134L000 was given an export authorization key for 2 Router US Export Lic. for DNA."
    )


def openssl_accepts(key, folder):
    export_trust(folder)
    certificate = folder / "reservation-signing.pem"
    verify = ["openssl", "verify", "-CAfile", folder / "root.pem", certificate]
    assert subprocess.run(verify, capture_output=True, check=False).returncode == 0
    public = ["openssl", "x509", "-in", certificate, "-noout", "-pubkey"]
    (folder / "key.pem").write_bytes(subprocess.run(public, capture_output=True, check=True).stdout)
    end = key.index("</authorizationCode>") + len("</authorizationCode>")
    signed = key[key.index("<authorizationCode>") : end] + key[key.index("<udi>") : key.index("</specificPLR>")]
    signature = key[key.index("<signature>") + len("<signature>") : key.index("</signature>")]
    (folder / "message").write_bytes(signed.encode())
    (folder / "signature").write_bytes(base64.b64decode(signature))
    check = ["openssl", "dgst", "-sha256", "-verify", folder / "key.pem", "-signature", folder / "signature"]
    return subprocess.run([*check, folder / "message"], capture_output=True, check=False).returncode == 0


def test_the_same_request_again_gives_the_same_key_and_holds_nothing_more(registered, hsec, engineering, count_rows):
    body = registered.request("EXPORT_AUTHORIZATION", {"tag": HSEC, "count": 2})
    first = registered.send(body)
    before = count_rows()
    assert registered.send(body).body == first.body
    registered.wait(hours=1)
    assert key_of(registered, 2) == first.data["authorization_key"]
    assert count_rows() == before
    assert figures(hsec, engineering, registered.now) == (2, 3)


def test_another_count_gives_a_newer_key_for_so_many_in_all(registered, hsec, engineering, now):
    first, second = key_of(registered, 2), key_of(registered, 5)
    assert first != second
    assert "<count>5</count>" in second
    assert second.split("<timestamp>")[1] > first.split("<timestamp>")[1]
    assert figures(hsec, engineering, now) == (5, 0)


def test_for_less_the_most_is_held_that_one_of_the_keys_entitles_to(registered, hsec, engineering, admin, now):
    more, less = key_of(registered, 4), key_of(registered, 1)
    assert figures(hsec, engineering, now) == (4, 1)
    again = key_of(registered, 4)
    assert again != more  # an agent takes nothing that is older than what it has
    code = return_code(registered, less)
    return_by_code(actor=admin, smart_account=admin_account(registered), return_code=code, now=now)
    assert figures(hsec, engineering, now) == (0, 5)


def admin_account(device):
    return ProductInstance.objects.get(piid=device.piid).smart_account


def test_more_than_is_free_is_refused_with_how_much_is(registered, hsec, engineering, count_rows):
    registered.authorize({HSEC: 2})
    fold_due(now=registered.now)
    before = count_rows()
    reply = ask(registered, 4)
    before["licensing.InstanceNotice"] += 1  # people are told; nothing else is written
    assert (reply.code, reply.is_by(registered.signing_cert)) == ("NOT_ENTITLED", True)
    assert "only 3 are free" in reply.content["status_message"]
    assert count_rows() == before
    assert figures(hsec, engineering, registered.now) == (0, 3)


def test_what_went_away_while_the_key_was_signed_is_not_given_out(
    registered, hsec, engineering, monkeypatch, count_rows
):
    """Between looking and locking another product took what was free."""
    other = Device(registered.now, 3)
    draft = export.draft_key

    def overtaken(**arguments):
        drafted = draft(**arguments)
        monkeypatch.setattr(export, "draft_key", draft)
        reserve_elsewhere(other, engineering, hsec, 4)
        return drafted

    monkeypatch.setattr(export, "draft_key", overtaken)
    assert ask(registered, 2).code == "NOT_ENTITLED"
    assert figures(hsec, engineering, registered.now) == (4, 1)
    assert not ProductInstance.objects.get(piid=registered.piid).holds_export_key


def reserve_elsewhere(device, place, license, quantity):
    know_software()
    admin = actor_for_user(place.smart_account.memberships.get(role="SA_ADMIN").user)
    product = AirGapped(serial=device.sudi["udi_serial_number"])
    reserve_licenses(
        actor=admin,
        virtual_account=place,
        request_code=product.request_code,
        licenses=[Wanted(license, quantity)],
        now=device.now,
    )


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"tag": HSEC},
        {"tag": HSEC, "count": 0},
        {"tag": HSEC, "count": -1},
        {"tag": HSEC, "count": 10**9 + 1},
        {"tag": HSEC, "count": "1"},
        {"tag": HSEC, "count": 1, "surprise": 1},
        {"tag": "", "count": 1},
    ],
)
def test_a_request_out_of_order_is_malformed(registered, hsec, data, count_rows):
    before = count_rows()
    assert registered.ask("EXPORT_AUTHORIZATION", data).code == "MALFORMED"
    assert count_rows() == before


def test_an_unknown_tag_gets_no_key(registered, hsec):
    assert ask(registered, tag="NOSUCH").code == "NOT_ENTITLED"


class TestScreening:
    def test_a_restricted_account_gets_no_key(self, registered, hsec, acme, olivia, now, count_rows):
        set_account_flags(
            actor=actor_for_user(olivia), smart_account=acme, export_status=ExportStatus.RESTRICTED, now=now
        )
        before = count_rows()
        reply = ask(registered)
        assert (reply.code, reply.is_by(registered.signing_cert)) == ("EXPORT_RESTRICTED", True)
        before["licensing.InstanceNotice"] += 1  # people are told; nothing else is written
        assert count_rows() == before

    def test_a_product_whose_token_forbids_it_gets_no_key(self, authorities, hsec, admin, engineering, now):
        _, token = create_token(actor=admin, virtual_account=engineering, export_controlled_allowed=False, now=now)
        device = Device(now, 1)
        device.register(token)
        assert ask(device).code == "EXPORT_RESTRICTED"
        assert not Hold.objects.exists()


class TestEnding:
    @pytest.fixture
    def key(self, registered, hsec):
        return key_of(registered, 2)

    @pytest.fixture
    def instance(self, registered, key):
        return ProductInstance.objects.get(piid=registered.piid)

    def test_a_product_with_a_key_is_not_removed(self, registered, instance, admin, hsec, engineering, now):
        with pytest.raises(Conflict, match="holds an export authorization key") as refused:
            remove_instance(actor=admin, instance=instance, now=now)
        assert refused.value.code == "RETURN_CODE_NEEDED"
        assert registered.authorize({}).code is None
        assert figures(hsec, engineering, now) == (2, 3)

    def test_its_return_code_frees_the_licenses_and_lets_it_be_removed(
        self, registered, instance, key, admin, acme, hsec, engineering, now
    ):
        code = return_code(registered, key)
        returned = return_by_code(actor=admin, smart_account=acme, return_code=code, now=now)
        assert (returned.state, returned.returned_at) == (ReservationState.RETURNED, now)
        assert figures(hsec, engineering, now) == (0, 5)
        assert registered.authorize({}).code is None
        with pytest.raises(Conflict, match="has ended"):
            return_by_code(actor=admin, smart_account=acme, return_code=code, now=now)
        remove_instance(actor=admin, instance=instance, now=now)
        assert registered.authorize({}).code == "NOT_REGISTERED"

    def test_after_a_return_the_product_may_ask_again(self, registered, key, admin, acme, hsec, engineering, now):
        return_by_code(actor=admin, smart_account=acme, return_code=return_code(registered, key), now=now)
        again = key_of(registered, 2)
        assert again != key
        with pytest.raises(Conflict, match="has ended"):
            return_by_code(actor=admin, smart_account=acme, return_code=return_code(registered, key), now=now)
        assert figures(hsec, engineering, now) == (2, 3)

    def test_the_code_of_another_key_frees_nothing(self, registered, key, admin, acme, hsec, engineering, now):
        holder = AirGapped(serial="FCW2134L000")
        holder.install(key)
        holder.timestamp += 1
        with pytest.raises(Invalid):
            return_by_code(actor=admin, smart_account=acme, return_code=holder.return_code, now=now)
        assert figures(hsec, engineering, now) == (2, 3)

    def test_of_several_keys_only_that_of_the_code_is_returned(
        self, registered, key, admin, acme, hsec, engineering, now
    ):
        deliver(engineering, line(other := make_restricted("OTHER", now), 1), now=now)
        second = str(ask(registered, tag="OTHER").data["authorization_key"])
        return_by_code(actor=admin, smart_account=acme, return_code=return_code(registered, key), now=now)
        assert figures(hsec, engineering, now) == (0, 5)
        assert figures(other, engineering, now) == (1, 0)
        with pytest.raises(Conflict):
            remove_instance(actor=admin, instance=ProductInstance.objects.get(), now=now)
        return_by_code(actor=admin, smart_account=acme, return_code=return_code(registered, second), now=now)
        remove_instance(actor=admin, instance=ProductInstance.objects.get(), now=now)

    def test_a_stranger_learns_nothing_from_a_return_code(self, registered, key, mallory, umbrella, now):
        with pytest.raises(NotFound):
            return_by_code(
                actor=actor_for_user(mallory),
                smart_account=umbrella,
                return_code=return_code(registered, key),
                now=now,
            )

    def test_the_product_is_not_replaced_by_registering_anew(self, registered, key, token, hsec, engineering):
        newcomer = Device(registered.now, 5, sudi=registered.sudi)
        reply = newcomer.register(token)
        assert reply.code == "UDI_RESERVED"
        assert "export authorization key" in reply.content["status_message"]
        assert registered.authorize({}).code is None

    def test_nor_by_a_reservation(self, registered, key, admin, engineering, hsec):
        know_software()
        with pytest.raises(Conflict, match="holds an export authorization key") as refused:
            reserve_licenses(
                actor=admin,
                virtual_account=engineering,
                request_code=AirGapped(serial="FCW2134L000").request_code,
                licenses=[Wanted(hsec, 1)],
                now=registered.now,
            )
        assert refused.value.code == "UDI_RESERVED"

    def test_another_account_does_not_get_its_udi_after_90_days_of_silence(self, registered, key, foreign_token, now):
        late = Device(now + timedelta(days=120), 5, sudi=registered.sudi)
        assert late.register(foreign_token).code == "UDI_REGISTERED_ELSEWHERE"

    def test_a_key_ends_when_the_product_deregisters(self, registered, key, hsec, engineering, now):
        assert registered.deregister().code is None
        assert figures(hsec, engineering, now) == (0, 5)
        assert Reservation.objects.get().state == ReservationState.RETURNED
        assert Event.objects.filter(name="export_key.ended").count() == 1

    def test_a_key_ends_with_a_registration_that_expires(self, registered, key, instance, hsec, engineering, now):
        end = now + timedelta(days=366)
        advance_lives(now=end)
        instance.refresh_from_db()
        assert (instance.state, instance.holds_export_key) == (InstanceState.EXPIRED, False)
        assert figures(hsec, engineering, end) == (0, 5)

    def test_a_key_ends_with_a_registration_whose_private_key_is_in_other_hands(
        self, registered, key, instance, admin, hsec, engineering, now
    ):
        end_compromised(actor=admin, instance=instance, now=now)
        assert figures(hsec, engineering, now) == (0, 5)

    def test_it_moves_along_with_its_product(
        self, registered, key, instance, admin, hsec, engineering, default_va, now
    ):
        transfer_instances(actor=admin, instances=[instance], target=default_va, now=now)
        assert figures(hsec, default_va, now) == (2, 0)
        assert figures(hsec, engineering, now) == (0, 3)
        assert key_of(registered, 2) == key

    def test_people_do_not_change_it(self, key, admin, hsec, now):
        reservation = Reservation.objects.get()
        with pytest.raises(Conflict, match="Only the product itself"):
            update_reservation(actor=admin, reservation=reservation, licenses=[Wanted(hsec, 1)], now=now)
        with pytest.raises(Conflict, match="Only the product itself"):
            rehost_reservation(actor=admin, reservation=reservation, request_code="CB-Z", now=now)

    def test_a_key_drawn_on_a_term_ends_with_it(self, registered, admin, engineering, hsec, now):
        license = make_restricted("TERMED", now)
        start, end = now - timedelta(days=1), now + timedelta(days=30)
        terms = {"licenseType": "term", "startDate": start.isoformat(), "endDate": end.isoformat()}
        deliver(engineering, line(license, 3, **terms), line(license, 1), now=now)
        text = str(ask(registered, 3, tag="TERMED").data["authorization_key"])
        assert text.count("<entitlement>") == 1
        assert f"<endDate>{end:%Y-%m-%d}</endDate>" in text
        assert expire_reservations(now=end) == 1
        assert figures(license, engineering, end) == (0, 1)
        instance = ProductInstance.objects.get()
        assert (instance.state, instance.holds_export_key) == (InstanceState.REGISTERED, False)
        registered.now = end
        assert ask(registered, 1, tag="TERMED").data["authorization_key"] != text
