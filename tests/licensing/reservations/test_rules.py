"""What a reservation needs, and what is refused: rights, flags, request codes, quantities, other registrations."""

import base64
import subprocess
from datetime import timedelta

import pytest

from accounts.models import VirtualAccount
from accounts.services.actors import actor_for_user
from accounts.states import ExportStatus
from cssm.common.errors import Conflict, DomainError, Forbidden, Invalid, NotFound
from licensing.codecs.authorization_code import parse_specific, parse_universal
from licensing.models import AuthorizationCode, License, ProductInstance, Reservation, SoftwareTag
from licensing.services.devices import applications
from licensing.services.devices.endings import remove_instance
from licensing.services.ownership.transfers import TransferLine, transfer_licenses
from licensing.services.pools.rebuild import check_pools
from licensing.services.reservations import issuing
from licensing.services.reservations import reserve as reserving
from licensing.services.reservations.contents import Wanted
from licensing.services.reservations.issuing import show_code, sign_unsigned_codes
from licensing.services.reservations.offers import list_offers
from licensing.services.reservations.reserve import reserve_licenses
from licensing.services.reservations.returns import return_reservation
from licensing.services.reservations.updates import update_reservation
from licensing.states import InstanceState
from pki.services.authorities import export_trust
from tests.licensing.device_driver import Device
from tests.licensing.reservations.products import AirGapped, entitled
from tests.licensing.stock import deliver, import_rows, line, live, make_license

pytestmark = pytest.mark.django_db


def refused(work, kind=DomainError):
    with pytest.raises(kind) as raised:
        work()
    return raised.value


def test_only_who_manages_the_virtual_account_reserves_or_sees_codes(
    reserve, bob, carol, mallory, umbrella, engineering, default_va, router
):
    seller = actor_for_user(bob)
    issued = reserve({router: 1}, actor=seller)
    assert show_code(actor=seller, reservation=issued.reservation).text == issued.text
    viewer, stranger = actor_for_user(carol), actor_for_user(mallory)
    other = AirGapped(serial="OTHER")
    for work in (
        lambda: reserve({router: 1}, of=other, actor=viewer),
        lambda: reserve({router: 1}, of=other, actor=seller, place=default_va),
        lambda: show_code(actor=viewer, reservation=issued.reservation),
    ):
        refused(work, Forbidden)
    refused(lambda: show_code(actor=stranger, reservation=issued.reservation), NotFound)
    # The same request code does not show the code to who could not see it otherwise.
    default = VirtualAccount.objects.get(smart_account=umbrella)
    error = refused(lambda: reserve({router: 1}, actor=stranger, place=default))
    assert error.code == "UDI_REGISTERED_ELSEWHERE"
    assert "Acme" not in error.message


def test_the_operators_flags_decide(reserve, acme, router):
    acme.slr_enabled, acme.plr_enabled = False, False
    acme.save()
    assert refused(lambda: reserve({router: 1})).code == "SLR_NOT_ENABLED"
    assert refused(lambda: reserve({}, of=AirGapped(version="D"))).code == "PLR_NOT_ENABLED"


def test_a_universal_reservation_names_no_licenses(reserve, admin, product, router, engineering, now):
    universal = AirGapped(version="D")
    issued = reserve({}, of=universal)
    code = parse_universal(issued.text)
    assert (str(code.piid), code.timestamp) == (universal.piid, issued.code.timestamp)
    assert (
        refused(
            lambda: update_reservation(
                actor=admin, reservation=issued.reservation, licenses=[Wanted(router, 1)], now=now
            )
        ).code
        == "UNIVERSAL_HAS_NO_LICENSES"
    )
    return_reservation(actor=admin, reservation=issued.reservation, return_code=universal.return_code, now=now)
    assert live(router, engineering, now).now_reserved == 0


def test_licenses_named_for_a_universal_reservation_are_taken(reserve, router, engineering, now):
    reserve({router: 4}, of=AirGapped(version="D"))
    assert live(router, engineering, now).now_reserved == 4


def test_openssl_verifies_the_signature_over_the_bytes_as_they_stand_in_the_file(reserve, router, switch, tmp_path):
    text = reserve({router: 3, switch: 2}).text
    end = text.index("</authorizationCode>") + len("</authorizationCode>")
    signed = text[text.index("<authorizationCode>") : end] + text[text.index("<udi>") : text.index("</specificPLR>")]
    signature = text[text.index("<signature>") + len("<signature>") : text.index("</signature>")]
    assert _openssl_accepts(tmp_path, signed.encode(), base64.b64decode(signature))
    assert not _openssl_accepts(tmp_path, signed.replace("<count>3", "<count>4").encode(), base64.b64decode(signature))


def test_openssl_verifies_the_universal_code(reserve, tmp_path):
    universal = AirGapped(version="D")
    issued = reserve({}, of=universal)
    message = f"{universal.piid}|{universal.udi}|{universal.timestamp}".encode()
    assert len(issued.text.replace("-", "")) == 119
    assert _openssl_accepts(tmp_path, message, universal.signature)


def _openssl_accepts(folder, message, signature):
    export_trust(folder)
    certificate = folder / "reservation-signing.pem"
    key = subprocess.run(
        ["openssl", "x509", "-in", certificate, "-noout", "-pubkey"], capture_output=True, check=True
    ).stdout
    for name, data in (("key.pem", key), ("message", message), ("signature", signature)):
        (folder / name).write_bytes(data)
    verify = ["openssl", "dgst", "-sha256", "-verify", folder / "key.pem", "-signature", folder / "signature"]
    return subprocess.run([*verify, folder / "message"], capture_output=True, check=False).returncode == 0


def test_a_software_hash_of_no_known_tag_is_refused_with_the_hash(stock, admin, engineering, product, router, now):
    SoftwareTag.objects.all().delete()
    error = refused(
        lambda: reserve_licenses(
            actor=admin,
            virtual_account=engineering,
            request_code=product.request_code,
            licenses=[Wanted(router, 1)],
            now=now,
        ),
        Invalid,
    )
    assert (error.code, error.details["part"]) == ("SOFTWARE_UNKNOWN", "software")
    assert error.details["softwareHash"] in error.message


@pytest.mark.parametrize("quantity", [11, 10**11])
def test_more_than_is_free_is_refused_with_how_much_is(reserve, router, count_rows, stock, quantity):
    before = count_rows()
    error = refused(lambda: reserve({router: quantity}), Conflict)
    assert (error.code, error.details["errors"][0]["free"]) == ("NOT_ENOUGH_FREE", 10)
    assert "only 10 are free" in error.message
    assert count_rows() == before


def test_all_that_is_wrong_is_told_at_once(reserve, router, switch, stock):
    error = refused(lambda: reserve({router: 11, switch: 12}), Conflict)
    assert error.code == "RESERVATION_REFUSED"
    assert [(row["line"], row["code"], row["free"]) for row in error.details["errors"]] == [
        (1, "NOT_ENOUGH_FREE", 10),
        (2, "NOT_ENOUGH_FREE", 10),
    ]


@pytest.mark.parametrize("quantity", [0, -1, True])
def test_a_quantity_is_a_whole_number_of_one_or_more(reserve, router, stock, quantity):
    assert refused(lambda: reserve({router: quantity}), Invalid).code == "OUT_OF_RANGE"


def test_something_must_be_reserved(reserve, stock):
    assert refused(lambda: reserve({}), Invalid).code == "NOTHING_TO_RESERVE"


def test_export_restricted_licenses_are_refused_to_a_restricted_account(reserve, acme, stock, engineering, admin, now):
    import_rows(["SECRET,entitlement,Secret,,perpetual,,RESTRICTED_ALLOWED,,,PREPAID"], now)
    secret = License.objects.get(tag="SECRET")
    License.objects.filter(pk=secret.pk).update(export_restricted=True)
    secret.refresh_from_db()
    deliver(engineering, line(secret, 5), now=now)
    acme.export_status = ExportStatus.RESTRICTED
    acme.save()
    assert refused(lambda: reserve({secret: 1}), Invalid).code == "EXPORT_RESTRICTED"
    assert secret not in [offer.license for offer in list_offers(actor=admin, virtual_account=engineering, now=now)]


def test_what_is_billed_by_usage_is_reserved_without_limit(reserve, engineering, stock, admin, now):
    metered = make_license("METERED", now, billing="USAGE")
    issued = reserve({metered: 10**9})
    assert entitled(issued.text) == {"METERED": 10**9}
    pool = live(metered, engineering, now)
    assert (pool.now_reserved, pool.now_status) == (10**9, "authorized")
    assert check_pools(now=now) == []
    (offer,) = [o for o in list_offers(actor=admin, virtual_account=engineering, now=now) if o.license == metered]
    assert offer.most is None


def test_a_product_that_is_reserved_cannot_be_registered(registered, token, reserve, stock, router, now):
    reserve({router: 1})
    device = Device(now, number=1, sudi={"udi_pid": "C9300-24UX", "udi_serial_number": "FCW2134L0RN"})
    assert device.register(token).code == "UDI_RESERVED"


def test_the_second_look_under_the_lock_refuses_it_too(registered, token, reserve, stock, router, now, monkeypatch):
    reserve({router: 1})
    monkeypatch.setattr(applications, "refuse_reserved", lambda claim: None)
    device = Device(now, number=1, sudi={"udi_pid": "C9300-24UX", "udi_serial_number": "FCW2134L0RN"})
    assert device.register(token).code == "UDI_RESERVED"
    assert ProductInstance.objects.get(udi=device.udi).state == InstanceState.RESERVED


def test_a_registered_product_is_replaced_by_its_reservation(registered, reserve, engineering, router, now):
    registered.authorize({router.tag: 4})
    assert live(router, engineering, now).now_in_use == 4
    pid, serial = registered.udi.split(":")
    issued = reserve({router: 6}, of=AirGapped(pid=pid, serial=serial))
    pool = live(router, engineering, now)
    assert (pool.now_in_use, pool.now_reserved) == (0, 6)
    states = {row.state for row in ProductInstance.objects.filter(udi=registered.udi)}
    assert states == {InstanceState.REMOVED, InstanceState.RESERVED}
    registered.wait(minutes=1)
    assert registered.authorize({}).code == "NOT_REGISTERED"
    assert issued.reservation.instance.external_id == str(issued.reservation.instance.piid)


def test_a_product_of_another_smart_account_is_refused(
    foreign_token, stock, reserve, product, router, engineering, now
):
    foreign = Device(now, sudi={"udi_pid": product.pid, "udi_serial_number": product.serial})
    assert foreign.register(foreign_token).code is None
    error = refused(lambda: reserve({router: 1}), Conflict)
    assert error.code == "UDI_REGISTERED_ELSEWHERE"
    assert "Umbrella" not in error.message
    assert live(router, engineering, now).now_reserved == 0


def test_a_reserved_product_stays_its_accounts_however_long_it_is_silent(reserve, router, foreign_token, product, now):
    reserve({router: 1})
    foreign = Device(now + timedelta(days=200), sudi={"udi_pid": product.pid, "udi_serial_number": product.serial})
    assert foreign.register(foreign_token).code == "UDI_REGISTERED_ELSEWHERE"


def test_another_request_code_of_a_reserved_product_is_refused(reserve, product, router):
    reserve({router: 1})
    product.sequence = "C"
    assert refused(lambda: reserve({router: 1}), Conflict).code == "UDI_RESERVED"


def test_a_reserved_product_is_not_removed_without_its_return_code(reserve, admin, router, engineering, now):
    instance = reserve({router: 1}).reservation.instance
    assert refused(lambda: remove_instance(actor=admin, instance=instance, now=now), Conflict).code == (
        "RETURN_CODE_NEEDED"
    )
    assert live(router, engineering, now).now_reserved == 1


def test_what_is_reserved_of_a_line_is_not_transferred(reserve, admin, router, engineering, default_va, now):
    reserve({router: 8})

    def transfer(quantity):
        lines = [TransferLine(router, quantity, default_va)]
        return transfer_licenses(actor=admin, source=engineering, lines=lines, now=now)

    assert refused(lambda: transfer(3)).code == "NOT_ENOUGH_FREE"
    transfer(2)
    assert live(router, engineering, now).now_free == 0


def test_a_transfer_leaves_the_lines_that_reservations_hold(
    stock, reserve, admin, switch, router, engineering, default_va, now
):
    """The reservation holds the perpetual ones, so the others are what can go."""
    deliver(engineering, line(router, 5, licenseType="TERM", endDate="2026-09-01"), now=now)
    reserve({router: 10})
    transfer_licenses(actor=admin, source=engineering, lines=[TransferLine(router, 5, default_va)], now=now)
    assert (
        [c.license_type for c in default_va.purchaseline_set.all()] == ["term"]
        if hasattr(default_va, "purchaseline_set")
        else True
    )
    assert live(router, default_va, now).now_purchased == 5
    assert live(router, engineering, now + timedelta(days=365)).now_balance == 0


def test_a_code_that_was_not_signed_is_signed_by_the_next_who_asks_or_the_sweep(
    reserve, stock, admin, product, router, engineering, now, monkeypatch
):
    def die(code):
        raise RuntimeError("the process died here")

    with monkeypatch.context() as patched:
        patched.setattr(reserving, "complete_code", die)
        with pytest.raises(RuntimeError):
            reserve({router: 3})
    assert AuthorizationCode.objects.get().sealed is None
    assert live(router, engineering, now).now_reserved == 3
    assert sign_unsigned_codes(now=now) == 1
    assert sign_unsigned_codes(now=now) == 0
    again = reserve({router: 9})
    assert (again.is_new, entitled(again.text)) == (False, {"ROUTER": 3})
    assert parse_specific(again.text).timestamp == again.code.timestamp


def test_of_two_that_sign_at_once_both_give_out_the_same_code(reserve, router, now):
    issued = reserve({router: 1})
    code = AuthorizationCode.objects.get()
    stale = AuthorizationCode.objects.get()
    stale.sealed = None
    assert issuing.complete_code(stale) == issued.text == issuing.complete_code(code)


def test_the_offers_say_what_can_be_reserved_and_of_which_terms(
    stock, reserve, admin, engineering, router, switch, now
):
    deliver(engineering, line(router, 5, licenseType="TERM", endDate="2026-09-01", subscriptionId="S-1"), now=now)
    reservation = reserve({router: 3}).reservation
    offers = {o.license: o for o in list_offers(actor=admin, virtual_account=engineering, now=now)}
    assert (offers[router].most, offers[switch].most) == (12, 10)
    assert [(t.license_type, t.quantity, t.subscription_id) for t in offers[router].terms] == [
        ("perpetual", 7, ""),
        ("term", 5, "S-1"),
    ]
    changing = {
        o.license: o for o in list_offers(actor=admin, virtual_account=engineering, reservation=reservation, now=now)
    }
    assert (changing[router].held, changing[router].limit) == (3, 15)


def test_a_reservation_is_found_only_by_its_own_account(reserve, router, mallory, umbrella):
    reserve({router: 1})
    assert not Reservation.objects.visible_to(actor_for_user(mallory)).exists()
