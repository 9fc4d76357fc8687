"""The calls for reservations: rows by themselves, codes only for who may manage them."""

import json

import pytest

from licensing.models import AuthorizationCode
from tests.authorities import prepare_authorities
from tests.licensing.reservations.products import AirGapped, entitled, know_software
from tests.licensing.stock import deliver, line, live, make_instance, make_license, use

pytestmark = pytest.mark.django_db

ENGINEERING = "/v1/accounts/acme.example/virtual-accounts/Engineering"
RESERVE = f"{ENGINEERING}/reserve-licenses"
LIST = "/v1/accounts/acme.example/reservations"
REMOVE = "/v2/accounts/acme.example/virtual-accounts/Engineering/devices/remove"


@pytest.fixture
def router(now, engineering, monkeypatch):
    prepare_authorities(now, monkeypatch)
    know_software()
    license = make_license("ROUTER", now)
    deliver(engineering, line(license, 10), now=now)
    return license


@pytest.fixture
def product():
    return AirGapped()


def sudi(product):
    return {"udiPid": product.pid, "udiSerialNumber": product.serial}


def row(product, **licenses):
    return {
        "reservationCode": product.request_code,
        "reservationType": "SPECIFIC",
        "licenses": [
            {"entitlementTag": tag, "quantity": quantity, "precedence": "LONGEST_TERM_FIRST"}
            for tag, quantity in licenses.items()
        ],
    }


def reserve(caller, *rows, path=RESERVE):
    answer = caller.post(path, {"reservationRequests": list(rows)})
    assert answer.status_code == 200, answer.content
    return answer.json()


@pytest.fixture
def reserved(admin, product, router):
    (result,) = reserve(admin, row(product, ROUTER=3))["authorizationCodes"]
    product.install(result["authorizationCode"])
    return result


@pytest.mark.parametrize("path", [RESERVE, RESERVE.replace("v1", "v2")])
def test_each_request_code_gets_its_own_answer(admin, product, router, engineering, now, path):
    wrong, other = AirGapped(serial="WRONG"), AirGapped(serial="OTHER")
    bad = {**row(wrong, ROUTER=1), "reservationCode": wrong.request_code[:-1] + "!"}
    answer = reserve(admin, row(product, ROUTER="3"), bad, row(other, ROUTER=8), path=path)
    assert (answer["status"], answer["statusMessage"]) == ("ERROR", "2 of 3 failed.")
    first, second, third = answer["authorizationCodes"]
    assert set(first) == {"reservationCode", "authorizationCode", "status", "statusMessage"}
    assert (first["status"], first["reservationCode"]) == ("SUCCESS", product.request_code)
    assert entitled(first["authorizationCode"]) == {"ROUTER": 3}
    assert (second["status"], second["authorizationCode"]) == ("ERROR", None)
    assert "check digits" in second["statusMessage"]
    assert "only 7 are free" in third["statusMessage"]
    assert live(router, engineering, now).now_reserved == 3


def test_the_same_request_again_gives_the_same_code(admin, product, reserved):
    (again,) = reserve(admin, row(product, ROUTER=5))["authorizationCodes"]
    assert again["authorizationCode"] == reserved["authorizationCode"]
    assert "used before" in again["statusMessage"]


def test_a_repeated_call_with_its_key_gives_the_stored_answer(admin, product, router):
    body = {"reservationRequests": [row(product, ROUTER=3)]}
    answers = [admin.post(RESERVE, body, key="once") for _ in range(2)]
    assert answers[0].content == answers[1].content
    assert answers[1].headers["Idempotent-Replayed"] == "true"
    assert AuthorizationCode.objects.count() == 1


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"reservationType": "UNIVERSAL"}, "first letter"),
        ({"licenses": [{"entitlementTag": "NONE", "quantity": 1}]}, "no license NONE"),
        ({"licenses": []}, "at least one license"),
        ({"reservationCode": ""}, "missing"),
        ({"reservationCode": "x" * 1_000_000}, "1,000,000 characters"),
        ({"reservationCode": "\u0421B-Z"}, "CYRILLIC"),
    ],
)
def test_what_is_wrong_with_a_row_is_said_there(admin, product, router, change, said):
    (result,) = reserve(admin, {**row(product, ROUTER=1), **change})["authorizationCodes"]
    assert result["status"] == "ERROR"
    assert said in result["statusMessage"]
    assert len(json.dumps(result)) < 5000


def test_who_asks_for_too_much_is_told_where_there_is_more(admin, product, router, default_va, now):
    deliver(default_va, line(router, 40), now=now)
    (result,) = reserve(admin, row(product, ROUTER=11))["authorizationCodes"]
    assert "only 10 are free" in result["statusMessage"]
    assert "40 in DEFAULT" in result["statusMessage"]


def test_other_virtual_accounts_are_named_only_to_who_may_see_them(va_user, product, router, default_va, now):
    deliver(default_va, line(router, 40), now=now)
    (result,) = reserve(va_user, row(product, ROUTER=11))["authorizationCodes"]
    assert "DEFAULT" not in result["statusMessage"]


def test_a_reservation_is_changed_confirmed_withdrawn_and_returned(admin, product, router, engineering, now, reserved):
    def reserved_now():
        return live(router, engineering, now).now_reserved

    def change(quantity):
        licenses = row(product, ROUTER=quantity)["licenses"]
        body = {"reservationUpdateRequests": [{"sudi": sudi(product), "licenses": licenses}]}
        return admin.post(f"{ENGINEERING}/update-licenses", body).json()["authorizationCodes"][0]

    changed = change(1)
    assert "once the confirmation code is entered" in changed["statusMessage"]
    assert reserved_now() == 3
    code = product.install(changed["authorizationCode"])
    body = {"reservationConfirmationRequests": [{"sudi": sudi(product), "confirmationCode": code}]}
    confirmed = admin.post(f"{ENGINEERING}/confirm-licenses", body).json()
    assert (confirmed["status"], confirmed["results"][0]["status"], reserved_now()) == ("SUCCESS", "SUCCESS", 1)
    change(6)
    assert reserved_now() == 6
    body = {"reservationCancelRequests": [{"sudi": sudi(product)}]}
    admin.post(f"{ENGINEERING}/reservations/cancel-update", body)
    assert reserved_now() == 1
    body = {"reservationReturnRequests": [{"sudi": sudi(product), "returnCode": product.return_code}]}
    returned = admin.post(f"{ENGINEERING}/reservations/return", body).json()
    assert (returned["status"], reserved_now()) == ("SUCCESS", 0)


def test_a_reserved_product_is_removed_with_its_return_code_only(admin, product, router, engineering, now, reserved):
    def remove(**more):
        body = {"productInstancesRemoveRequests": [{"sudi": sudi(product), **more}]}
        return admin.post(REMOVE, body).json()["results"][0]

    other = AirGapped()
    other.install(reserved["authorizationCode"])
    other.timestamp += 1
    assert "return code" in remove()["statusMessage"]
    assert remove(returnCode=other.return_code)["status"] == "ERROR"
    assert live(router, engineering, now).now_reserved == 3
    assert remove(returnCode=product.return_code)["status"] == "SUCCESS"
    assert live(router, engineering, now).now_reserved == 0
    assert "no reservation" in remove(returnCode=product.return_code)["statusMessage"]


def test_a_failed_product_is_rehosted(admin, product, router, engineering, now, reserved):
    spare = AirGapped(serial="SPARE")
    body = {"reservationRehostRequests": [{"sudi": sudi(product), "reservationCode": spare.request_code}]}
    (result,) = admin.post(f"{ENGINEERING}/reservations/rehost", body).json()["authorizationCodes"]
    assert entitled(result["authorizationCode"]) == {"ROUTER": 3}
    rows = admin.get(LIST).json()["reservations"]
    assert [(each["state"], each["rehostedFrom"]) for each in rows] == [
        ("AUTHORIZED", "C9300-24UX:FCW2134L0RN"),
        ("REHOSTED", None),
    ]
    body = {"productInstancesRemoveRequests": [{"sudi": sudi(product), "returnCode": product.return_code}]}
    assert admin.post(REMOVE, body).json()["status"] == "SUCCESS"
    assert live(router, engineering, now).now_reserved == 3


def test_the_list_shows_codes_only_to_who_may_manage(admin, va_user, viewer, stranger, approver, reserved):
    for caller in (admin, va_user):
        (each,) = caller.get(LIST).json()["reservations"]
        assert each["authorizationCodes"][0]["authorizationCode"] == reserved["authorizationCode"]
        assert each["reservationCode"] == reserved["reservationCode"]
    (seen,) = viewer.get(LIST, {"virtualAccount": "Engineering", "state": "AUTHORIZED"}).json()["reservations"]
    assert "specificPLR" not in json.dumps(seen)
    assert (seen["reservationCode"], seen["authorizationCodes"][0]["authorizationCode"]) == (None, None)
    assert seen["authorizationCodes"][0]["licenses"][0]["quantity"] == 3
    assert seen["sudi"]["udiSerialNumber"] == "FCW2134L0RN"
    assert stranger.get(LIST).status_code == 404
    assert approver.get(LIST).status_code == 403
    assert admin.get(LIST, {"state": "RETURNED"}).json()["totalRecords"] == 0


@pytest.mark.parametrize("call", ["reserve-licenses", "update-licenses", "confirm-licenses", "reservations/rehost"])
def test_a_viewer_reserves_nothing(viewer, stranger, router, call):
    for caller, status in ((viewer, 403), (stranger, 404)):
        assert caller.post(f"{ENGINEERING}/{call}", {}).status_code == status


def test_the_explanation_and_the_list_of_licenses_have_the_same_figures(admin, viewer, reserved):
    path = "/v1/accounts/acme.example/pools/Engineering/ROUTER/explain"
    found = admin.get(path).json()
    assert (found["figures"]["reserved"], found["figures"]["free"]) == (3, 7)
    assert found["unexplained"] == {"purchased": 0, "inUse": 0, "reserved": 0, "borrowed": 0, "lent": 0}
    (part,) = found["reservations"]
    assert (part["udi"], part["quantity"], part["state"]) == ("C9300-24UX:FCW2134L0RN", 3, "AUTHORIZED")
    assert part["reservationCode"] == reserved["reservationCode"]
    assert viewer.get(path).json()["reservations"][0]["reservationCode"] is None
    (pool,) = admin.post("/v1/accounts/acme.example/licenses", {}).json()["licenses"]
    assert (pool["reserved"], pool["available"], pool["inUse"]) == (3, 7, 0)


def test_what_can_be_reserved_is_told(admin, viewer, reserved):
    (offer,) = admin.get(f"{ENGINEERING}/reservations/offers").json()["licenses"]
    assert (offer["entitlementTag"], offer["most"], offer["terms"][0]["quantity"]) == ("ROUTER", 7, 7)
    assert viewer.get(f"{ENGINEERING}/reservations/offers").status_code == 403


def test_reserved_products_are_among_the_devices(admin, reserved):
    (device,) = admin.get(f"{ENGINEERING}/devices").json()["devices"]
    assert device["sudi"]["udiSerialNumber"] == "FCW2134L0RN"


def test_what_a_device_has_reserved_is_part_of_what_it_uses(admin, product, router, engineering, now, reserved):
    deliver(engineering, line(router, 2, licenseType="TERM", endDate="2036-01-01"), now=now)
    change = {"sudi": sudi(product), "licenses": [{"entitlementTag": "ROUTER", "quantity": 11}]}
    admin.post(f"{ENGINEERING}/update-licenses", {"reservationUpdateRequests": [change]})
    connected = make_instance(engineering, now)
    use(connected, router, 4, now)

    def uses():
        rows = admin.post("/v1/accounts/acme.example/devices", {}).json()["devices"]
        return {row["sudi"]["udiSerialNumber"]: (row["licenseUsage"], row["status"]) for row in rows}

    used = uses()
    assert used.pop(product.serial) == ([{"license": "ROUTER name", "quantity": 11}], "In Compliance"), "of two lines"
    assert list(used.values()) == [([{"license": "ROUTER name", "quantity": 4}], "Out Of Compliance")]
    pool = live(router, engineering, now)
    assert pool.now_in_use + pool.now_reserved == 4 + 11
