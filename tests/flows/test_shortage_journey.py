"""From an order to a shortage, its e-mail and its cure: the main job, against the running product."""

import re
from pathlib import Path
from typing import Any

import pytest

from tests.flows.stack import Stack, wait_for
from tests.flows.visitors import CSRF, Person, Program

pytestmark = [pytest.mark.flow]

LICENSE = "C9300-24 Network Advantage"
TAG = "regid.2017-03.com.cisco.advantagek9,1.0_bd1da96e-ec1d-412b-a50e-53846b347d53"
SOFTWARE = "regid.2017-05.com.cisco.C9300,v1_727af1d9-6c39-4444-b301-863f81445b72"
ACCOUNT = "/v1/accounts/acme.example"


class Journey:
    """The people and programs of one journey in a Virtual Account of its own."""

    def __init__(self, stack: Stack, demo: dict[str, Any], tmp_path: Path, va: str) -> None:
        self.stack, self.va, self.folder = stack, va, tmp_path
        clients = {(c["domain"], c["role"]): (c["client_id"], c["client_secret"]) for c in demo["api_clients"]}
        self.acme = Program(stack.url, *clients["acme.example", "SA_ADMIN"])
        self.operator = Program(stack.url, *clients[None, "OPERATOR"])
        passwords = {user["email"]: user["password"] for user in demo["users"]}
        self.alice = Person(stack.url, "alice@acme.example", passwords["alice@acme.example"])
        stack.manage("export_trust", str(tmp_path / "trust"))
        self.acme.call(f"{ACCOUNT}/virtual-accounts", {"name": va, "description": "A journey"})

    def order(self, quantity: int, ref: str) -> None:
        line = {"entitlementTag": TAG, "quantity": quantity, "licenseType": "perpetual"}
        body = {"domain": "acme.example", "virtualAccount": self.va, "orderRef": ref, "lines": [line]}
        self.operator.call("/v1/operator/orders", body)

    def token(self) -> str:
        body = {"description": "journey", "expiresAfterDays": 30, "exportControlled": "Allowed"}
        return str(self.acme.call(f"{ACCOUNT}/virtual-accounts/{self.va}/tokens", body)["tokenInfo"]["token"])

    def register(self, serial: str, token: str) -> Path:
        state = self.folder / serial
        where = ["--url", self.stack.url, "--trust", str(self.folder / "trust" / "root.pem"), "--token", token]
        self.stack.agent(state, "register", *where, "--pid", "C9300-24UX", "--sn", serial, "--software-tag", SOFTWARE)
        return state

    def authorize(self, state: Path, count: int) -> str:
        self.stack.agent(state, "authorize", f"{TAG}={count}")
        return str(self.stack.agent(state, "status")["authorization"])

    def figures_in_api(self) -> tuple[int, int, int, str]:
        answer = self.acme.call(f"{ACCOUNT}/licenses", {"virtualAccounts": [self.va]})
        row = next(row for row in answer["licenses"] if row["entitlementTag"] == TAG)
        return row["quantity"], row["inUse"], row["available"], row["status"]

    def figures_in_portal(self) -> tuple[int, int, int, str]:
        rows = self.alice.rows(f"/accounts/acme.example/inventory/{self.va}/licenses/")
        row = next(row for row in rows if row["License"] == LICENSE)
        return int(row["Purchased"]), int(row["In use"]), int(row["Balance"].lstrip("'")), row["Compliance"]

    def open_alerts(self) -> list[dict[str, str]]:
        return [row for row in self.alice.rows("/accounts/acme.example/alerts/") if self.va in row["Source"]]

    def subscribe(self) -> None:
        """Alice chooses immediate messages for this Virtual Account, as the page offers it."""
        path = "/accounts/acme.example/preferences/"
        page = self.alice.get(path)
        fields = dict(re.findall(r'<select name="([^"]+)"[^>]*>.*?<option value="([^"]*)" selected', page, re.DOTALL))
        names = re.findall(r'<select name="([^"]+)"[^>]*aria-label="Insufficient Licenses, ' + self.va, page)
        assert names, "the preferences offer no choice for this Virtual Account"
        assert CSRF.search(page)
        self.alice.send(path, {**fields, names[0]: "immediate"}, page=page)


@pytest.fixture
def journey(stack: Stack, demo: dict[str, Any], tmp_path: Path) -> Journey:
    return Journey(stack, demo, tmp_path, "Journey")


def test_a_shortage_is_seen_everywhere_mailed_once_and_cured(journey: Journey):
    stack = journey.stack
    journey.subscribe()
    journey.order(2, "JOURNEY-1")
    token = journey.token()

    first = journey.register("JRN0000001", token)
    assert journey.authorize(first, 2) == "AUTHORIZED"
    assert journey.figures_in_api() == journey.figures_in_portal() == (2, 2, 0, "In Compliance")
    assert journey.open_alerts() == []

    second = journey.register("JRN0000002", token)
    assert journey.authorize(second, 1) == "OUT_OF_COMPLIANCE"
    assert journey.authorize(first, 2) == "OUT_OF_COMPLIANCE"
    assert journey.figures_in_api() == journey.figures_in_portal() == (2, 3, -1, "Out Of Compliance")

    received = wait_for(lambda: _about(stack, journey.va), seconds=20, what="the mail about the shortage")
    assert len(journey.open_alerts()) == 1
    recipients, message = received[0]
    body = message.get_body(("plain",)).get_content()
    assert recipients == ["alice@acme.example"]
    assert LICENSE in body
    figures = {int(number) for number in re.findall(r"\b\d+\b", body)}
    assert {2, 3, 1} <= figures

    journey.order(1, "JOURNEY-2")
    assert journey.figures_in_api() == journey.figures_in_portal() == (3, 3, 0, "In Compliance")
    wait_for(lambda: journey.open_alerts() == [], seconds=20, what="the end of the alert")
    assert journey.authorize(first, 2) == "AUTHORIZED"

    stack.agent(second, "deregister")
    assert journey.figures_in_api() == journey.figures_in_portal() == (3, 2, 1, "In Compliance")
    assert [to for to, _ in _about(stack, journey.va)] == [["alice@acme.example"]]

    stack.manage("sweep")
    stack.manage("rebuild_pools", "--check")
    stack.manage("verify_log")


def _about(stack: Stack, va: str) -> list[tuple[list[str], Any]]:
    return [(to, mail) for to, mail in list(stack.mail.messages) if va in mail.get_body(("plain",)).get_content()]


def test_openssl_accepts_what_a_product_was_given(journey_of_one: tuple[Stack, Path, Path], tmp_path: Path):
    stack, state, trust = journey_of_one
    kept = stack.read_state(state)
    for name in ("id_cert", "signing_cert", "sub_ca_cert"):
        (tmp_path / f"{name}.pem").write_text(kept["identity"][name])
    for name in ("id_cert", "signing_cert"):
        stack.openssl(
            "verify", "-x509_strict", "-CAfile", str(trust / "root.pem"), "-untrusted",
            str(tmp_path / "sub_ca_cert.pem"), str(tmp_path / f"{name}.pem"),
        )  # fmt: skip
