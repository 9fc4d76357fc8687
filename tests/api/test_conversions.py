"""The calls for conversions: devices by themselves, the same lines again tell how far they are, nothing twice."""

import base64
from typing import Any

import pytest

from licensing.api import conversions
from licensing.models import Conversion, PurchaseLine, UdiClaim
from licensing.services.exchange.conversions import carry_out_due
from tests.api.conftest import Caller
from tests.licensing.stock import make_license

pytestmark = pytest.mark.django_db

CONVERT = "/v1/accounts/acme.example/dlc_convert"
LIST = "/v1/accounts/acme.example/conversions"
SUDI = {"udiPid": "C9300", "udiSerialNumber": "FCW7"}


@pytest.fixture(autouse=True)
def _catalog(engineering, now):
    make_license("regid.x.ROUTER", now)
    make_license("regid.x.SWITCH", now)


def line(text: str = "regid.x.ROUTER", count: Any = 5, kind: str = "TRUST_BASED", **more: Any) -> dict[str, Any]:
    return {"conversionType": kind, "conversionEncodingType": "NONE", "conversionString": text,
            "conversionCount": count, **more}  # fmt: skip


def device(*lines: dict[str, Any], **sudi: Any) -> dict[str, Any]:
    return {"sudi": {**SUDI, **sudi}, "softwareTagIdentifier": "soft", "conversionLines": list(lines)}


def convert(caller: Caller, *devices: dict[str, Any], account: str = "Engineering") -> Any:
    return caller.post(CONVERT, {"virtualAccounts": [{"name": account, "dlcRequests": list(devices)}]})


def statuses(answer: Any) -> list[tuple[str, str]]:
    assert answer.status_code == 200, answer.content
    return [(row["conversionStatus"], row["statusMessage"]) for row in answer.json()["devices"]]


def owned() -> list[tuple[str, int]]:
    return list(PurchaseLine.objects.order_by("pk").values_list("license__tag", "quantity"))


def test_devices_are_converted_each_by_itself_and_asking_again_tells_the_same(va_user: Caller):
    asked = (device(line(count="5")), device(line("unheard-of"), udiSerialNumber="FCW8"))
    for _ in range(2):
        answer = convert(va_user, *asked)
        assert statuses(answer) == [("converted", ""), ("convert_failed", "Line 1: there is no license unheard-of.")]
        assert answer.json()["status"] == "ERROR"
        assert answer.json()["devices"][0]["sudi"] == SUDI
    assert owned() == [("regid.x.ROUTER", 5)]
    rows = va_user.get(LIST, {"conversionStatus": "converted"}).json()
    assert (rows["totalRecords"], rows["conversions"][0]["udi"], rows["conversions"][0]["origin"]) == (
        1,
        "C9300:FCW7",
        "API",
    )
    assert rows["conversions"][0]["lines"] == [
        {
            "conversionType": "TRUST_BASED",
            "entitlementTag": "regid.x.ROUTER",
            "conversionCount": 5,
            "converted": True,
        }
    ]


def test_many_devices_are_in_progress_until_the_sweep_has_come(va_user: Caller, now, monkeypatch):
    monkeypatch.setattr(conversions, "AT_ONCE", 1)
    asked = [device(line(), udiSerialNumber=f"FCW{n}") for n in range(3)]
    assert [status for status, _ in statuses(convert(va_user, *asked))] == ["converted", "in_progress", "in_progress"]
    moment = Conversion.objects.latest("pk").due_at
    assert carry_out_due(now=moment) == 2
    assert {status for status, _ in statuses(convert(va_user, *asked))} == {"converted"}
    assert len(owned()) == 3


def test_a_license_file_names_its_license(va_user: Caller):
    text = 'INCREMENT "regid.x.SWITCH" 1.0 permanent 2\n'
    encoded = base64.b64encode(text.encode()).decode()
    one = line(encoded, 2, "LICENSE_FILE", conversionEncodingType="BASE64")
    assert statuses(convert(va_user, device(one)))[0][0] == "converted"
    plain = line(text, 2, "license_file", conversionEncodingType=None)
    assert statuses(convert(va_user, device(plain)))[0][0] == "converted"
    assert owned() == [("regid.x.SWITCH", 2)]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (line(count=0), "the count is from 1"),
        (line(count=10**10), "the count is from 1"),
        (line(kind="PAK"), "conversionType is"),
        (line(conversionEncodingType="ROT13"), "is BASE64, or NONE"),
        (line("not base64!", kind="LICENSE_FILE", conversionEncodingType="BASE64"), "not Base64"),
        (line("nothing known", kind="LICENSE_FILE"), "names no entitlement tag"),
        (line("regid.x.SWITCH regid.x.ROUTER", kind="LICENSE_FILE"), "several licenses"),
        (line("x" * 70_000 + " regid.x.SWITCH", kind="LICENSE_FILE"), "at most 64 KiB"),
        (line("x" * 300), "1 to 255"),
    ],
)
def test_a_line_out_of_order_fails_its_device_and_no_other(va_user: Caller, wrong, message):
    answer = convert(va_user, device(wrong), device(line(), udiSerialNumber="FCW8"))
    (first, told), (second, _) = statuses(answer)
    assert (first, second, message in told) == ("convert_failed", "converted", True)
    assert len(owned()) == 1


def test_a_device_without_a_name_or_twice_the_same_line(va_user: Caller):
    nameless = device(line(), udiPid=None, udiSerialNumber=None)
    answer = convert(va_user, nameless, device(line(), line(count=6)))
    assert [status for status, _ in statuses(answer)] == ["convert_failed"] * 2
    assert owned() == []


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"virtualAccounts": []},
        {"virtualAccounts": [{"name": "Engineering", "dlcRequests": []}]},
        {"virtualAccounts": [{"name": "Engineering", "dlcRequests": [{"sudi": SUDI, "conversionLines": []}]}]},
        {"virtualAccounts": [{"name": "Engineering", "dlcRequests": [device(line(surprise=1))]}]},
        {"virtualAccounts": [{"name": "Engineering", "dlcRequests": [device(line("\x00"))]}]},
    ],
)
def test_a_body_out_of_form_is_refused(va_user: Caller, body):
    assert va_user.post(CONVERT, body).status_code == 400
    assert not Conversion.objects.exists()


def test_only_where_the_caller_may_manage(va_user: Caller, viewer: Caller, umbrella, now):
    assert convert(viewer, device(line())).status_code == 403
    for account in ("DEFAULT", "Nowhere"):
        assert statuses(convert(va_user, device(line()), account=account))[0][0] == "convert_failed"
    other = CONVERT.replace("acme", "umbrella")
    assert (
        va_user.post(other, {"virtualAccounts": [{"name": "DEFAULT", "dlcRequests": [device(line())]}]}).status_code
        == 404
    )
    UdiClaim.objects.create(udi="C9300:FCW7", smart_account=umbrella, last_contact_at=now.replace(year=now.year + 50))
    [(status, message)] = statuses(convert(va_user, device(line())))
    assert (status, "another Smart Account" in message, "umbrella" in message.lower()) == (
        "convert_failed",
        True,
        False,
    )
    assert owned() == []
    assert va_user.get(LIST.replace("acme", "umbrella")).status_code == 404


def test_one_idempotency_key_one_conversion(va_user: Caller):
    body = {"virtualAccounts": [{"name": "Engineering", "dlcRequests": [device(line())]}]}
    first, second = (va_user.post(CONVERT, body, key="once").json() for _ in range(2))
    assert first == second
    assert Conversion.objects.count() == 1
