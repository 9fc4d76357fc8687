"""A product without any connection: request, reserve, install, confirm, increase, decrease, return."""

from pathlib import Path
from typing import Any

import pytest

from tests.flows.stack import Stack
from tests.flows.visitors import Person, Program

pytestmark = [pytest.mark.flow]

LICENSE = "C9300-24 Network Advantage"
TAG = "regid.2017-03.com.cisco.advantagek9,1.0_bd1da96e-ec1d-412b-a50e-53846b347d53"
SOFTWARE = "regid.2017-05.com.cisco.C9300,v1_727af1d9-6c39-4444-b301-863f81445b72"
ACCOUNT = "/v1/accounts/acme.example"
PID, SERIAL = "C9300-24UX", "AIRGAP00001"


class AirGap:
    """One product, and the person who carries codes between it and the portal; both in a Virtual Account of its own."""

    def __init__(self, stack: Stack, demo: dict[str, Any], folder: Path, va: str) -> None:
        self.stack, self.va, self.folder, self.state = stack, va, folder, folder / "product"
        clients = {(c["domain"], c["role"]): (c["client_id"], c["client_secret"]) for c in demo["api_clients"]}
        self.acme = Program(stack.url, *clients["acme.example", "SA_ADMIN"])
        operator = Program(stack.url, *clients[None, "OPERATOR"])
        passwords = {user["email"]: user["password"] for user in demo["users"]}
        self.alice = Person(stack.url, "alice@acme.example", passwords["alice@acme.example"])
        stack.manage("export_trust", str(folder / "trust"))
        self.acme.call(f"{ACCOUNT}/virtual-accounts", {"name": va, "description": "A journey"})
        line = {"entitlementTag": TAG, "quantity": 10, "licenseType": "perpetual"}
        body = {"domain": "acme.example", "virtualAccount": va, "orderRef": f"ORDER-{va}", "lines": [line]}
        operator.call("/v1/operator/orders", body)

    def device(self, *arguments: str, code: int = 0) -> Any:
        return self.stack.agent(self.state, *arguments, code=code)

    def post(self, call: str, name: str, row: dict[str, Any], answer: str) -> Any:
        result = self.acme.call(f"{ACCOUNT}/virtual-accounts/{self.va}/{call}", {name: [row]})
        assert result["status"] == "SUCCESS", result
        return result[answer][0]

    def save(self, result: dict[str, Any]) -> str:
        path = self.folder / f"AC_{SERIAL}.xml"
        path.write_text(result["authorizationCode"])
        return str(path)

    def install(self, result: dict[str, Any]) -> str:
        return str(self.device("reserve-install", self.save(result))["confirmation_code"])

    def change(self, quantity: int) -> dict[str, Any]:
        row = {"sudi": SUDI, "licenses": [{"entitlementTag": TAG, "quantity": quantity}]}
        return dict(self.post("update-licenses", "reservationUpdateRequests", row, "authorizationCodes"))

    def confirm(self, code: str) -> None:
        row = {"sudi": SUDI, "confirmationCode": code}
        self.post("confirm-licenses", "reservationConfirmationRequests", row, "results")

    def figures(self) -> tuple[int, int, int]:
        """(purchased, reserved, balance), the same wherever they are shown, and as the records say."""
        row = self.acme.call(f"{ACCOUNT}/licenses", {"virtualAccounts": [self.va]})["licenses"][0]
        in_api = row["quantity"], row["reserved"], row["available"]
        found = self.acme.call(f"{ACCOUNT}/pools/{self.va}/{TAG}/explain")
        figures = found["figures"]
        assert (figures["purchased"], figures["reserved"], figures["balance"]) == in_api
        assert sum(part["quantity"] for part in found["reservations"]) == in_api[1]
        assert set(found["unexplained"].values()) == {0}
        shown = self.alice.rows(f"/accounts/acme.example/inventory/{self.va}/licenses/")
        cells = next(each for each in shown if each["License"] == LICENSE)
        assert (int(cells["Purchased"]), int(cells["Reserved"]), int(cells["Balance"])) == in_api
        self.stack.manage("rebuild_pools", "--check")
        return in_api


SUDI = {"udiPid": PID, "udiSerialNumber": SERIAL}


@pytest.fixture
def journey(stack: Stack, demo: dict[str, Any], tmp_path: Path) -> AirGap:
    return AirGap(stack, demo, tmp_path, "AirGap")


def test_a_product_without_any_connection_reserves_changes_and_returns(journey: AirGap):
    trust = journey.folder / "trust"
    embedded = ["--trust", str(trust / "root.pem"), "--signer", str(trust / "reservation-signing.pem")]
    names = ["--pid", PID, "--sn", SERIAL, "--software-tag", SOFTWARE]
    request = journey.device("reserve-request", *names, *embedded)["request_code"]
    assert journey.device("reserve-request")["request_code"] == request
    assert journey.figures() == (10, 0, 10)

    row = {"reservationCode": request, "licenses": [{"entitlementTag": TAG, "quantity": 4}]}
    first = journey.post("reserve-licenses", "reservationRequests", row, "authorizationCodes")
    assert journey.figures() == (10, 4, 6)
    assert journey.device("status")["authorization"] == "NONE"
    journey.confirm(journey.install(first))
    status = journey.device("status")
    assert (status["authorization"], status["registration"]) == ("RESERVED", "UNREGISTERED")
    assert [(held["tag"], held["count"]) for held in status["reservation"]["entitlements"]] == [(TAG, 4)]
    assert journey.figures() == (10, 4, 6)

    more = journey.change(7)
    assert journey.figures() == (10, 7, 3)
    journey.confirm(journey.install(more))
    fewer = journey.change(2)
    assert journey.figures() == (10, 7, 3)
    refused = journey.device("reserve-install", journey.save(first), code=2)
    assert "not newer" in refused["message"]
    confirmation = journey.install(fewer)
    assert journey.figures() == (10, 7, 3)
    journey.confirm(confirmation)
    assert journey.figures() == (10, 2, 8)

    code = journey.device("reserve-return")["return_code"]
    assert journey.device("reserve-return")["return_code"] == code
    assert journey.device("status")["authorization"] == "NONE"
    assert journey.figures() == (10, 2, 8)
    removal = {"productInstancesRemoveRequests": [{"sudi": SUDI, "returnCode": code}]}
    path = f"/v2/accounts/acme.example/virtual-accounts/{journey.va}/devices/remove"
    assert journey.acme.call(path, removal)["status"] == "SUCCESS"
    assert journey.figures() == (10, 0, 10)
    assert "not newer" in journey_refusal(journey, request, fewer)
    journey.stack.manage("verify_log")


def journey_refusal(journey: AirGap, request: str, returned: dict[str, Any]) -> str:
    """What the product says to the authorization that it has given back, after a new request."""
    assert journey.device("reserve-request")["request_code"] != request
    return str(journey.device("reserve-install", journey.save(returned), code=2)["message"])
