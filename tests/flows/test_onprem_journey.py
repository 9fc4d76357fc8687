"""A customer without a connection: an on-prem server by files, its products, licenses bought, the 48 hours."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.flows.onprem import OnPrem
from tests.flows.stack import Stack
from tests.flows.visitors import Person, Program

pytestmark = [pytest.mark.flow, pytest.mark.xdist_group("stack")]

LICENSE = "C9300-24 Network Advantage"
TAG = "regid.2017-03.com.cisco.advantagek9,1.0_bd1da96e-ec1d-412b-a50e-53846b347d53"
SOFTWARE = "regid.2017-05.com.cisco.C9300,v1_727af1d9-6c39-4444-b301-863f81445b72"
ACCOUNT = "/v1/accounts/acme.example"


class Site:
    """A Virtual Account of its own at the portal, and the on-prem server of a plant without a connection."""

    def __init__(self, stack: Stack, demo: dict[str, Any], folder: Path, va: str) -> None:
        self.stack, self.va, self.folder = stack, va, folder
        clients = {(c["domain"], c["role"]): (c["client_id"], c["client_secret"]) for c in demo["api_clients"]}
        self.acme = Program(stack.url, *clients["acme.example", "SA_ADMIN"])
        self.operator = Program(stack.url, *clients[None, "OPERATOR"])
        passwords = {user["email"]: user["password"] for user in demo["users"]}
        self.alice = Person(stack.url, "alice@acme.example", passwords["alice@acme.example"])
        self.acme.call(f"{ACCOUNT}/virtual-accounts", {"name": va, "description": "A plant without a connection"})
        self.server = OnPrem(stack, self.acme, folder, ACCOUNT)

    def order(self, quantity: int, ref: str) -> None:
        line = {"entitlementTag": TAG, "quantity": quantity, "licenseType": "perpetual"}
        body = {"domain": "acme.example", "virtualAccount": self.va, "orderRef": ref, "lines": [line]}
        self.operator.call("/v1/operator/orders", body)

    def register(self, url: str, serial: str, *options: str, code: int = 0) -> Path:
        """A product registers to the on-prem server."""
        token = self.server.run("create-token", self.va, "--uses", "1")["token"]
        device = self.folder / serial
        where = ["--url", url, "--trust", str(self.folder / "trust" / "root.pem"), "--token", token]
        about = ["--pid", "C9300-24UX", "--sn", serial, "--software-tag", SOFTWARE, "--hostname", f"host-{serial}"]
        self.stack.agent(device, "register", *where, *about, *options, code=code)
        return device

    def authorize(self, device: Path, count: int) -> str:
        return str(self.stack.agent(device, "authorize", f"{TAG}={count}")["authorization"])

    def reports(self, device: Path, *command: str) -> list[str]:
        """What became of the usage reports that a product sends or asks about."""
        return [one["status"] for one in self.stack.agent(device, *command)["reports"]]

    def figures(self) -> tuple[int, int, int, str]:
        answer = self.acme.call(f"{ACCOUNT}/licenses", {"virtualAccounts": [self.va]})
        row = next(row for row in answer["licenses"] if row["entitlementTag"] == TAG)
        return row["quantity"], row["inUse"], row["available"], row["status"]

    def figures_in_portal(self) -> tuple[int, int, int, str]:
        rows = self.alice.rows(f"/accounts/acme.example/inventory/{self.va}/licenses/")
        row = next(row for row in rows if row["License"] == LICENSE)
        return int(row["Purchased"]), int(row["In use"]), int(row["Balance"].lstrip("'")), row["Compliance"]

    def instances(self) -> str:
        """The page as its export gives it."""
        return self.alice.get(f"/accounts/acme.example/inventory/{self.va}/instances/?export=csv")

    def sign_with_root_after(self, **span: int) -> int:
        """How many certificates the root signs so long after the server's registration."""
        moment = self.server.registered_at + timedelta(**span)
        return int(self.stack.python("-m", "tests.flows.job", "pki.sign_root_requests", moment.isoformat()))

    def pass_two_days(self) -> None:
        """As if the server had registered 48 hours earlier: its certificate has waited that long."""
        self.stack.shift("pki_rootrequest", "due_at", hours=48)


@pytest.fixture
def site(stack: Stack, demo: dict[str, Any], tmp_path: Path) -> Site:
    return Site(stack, demo, tmp_path, "Plant")


def test_an_on_prem_server_lives_by_files_alone(site: Site):
    server = site.server
    site.order(2, "PLANT-1")
    server.register(name="Plant 1", va=site.va)
    assert server.run("status")["phase"] == "REGISTERED"
    assert [one["name"] for one in server.run("status")["virtual_accounts"]] == [site.va]

    with server.serving() as url:
        device = site.register(url, "PLT0000001")
        assert server.verify_with_openssl(device) == 4
        assert site.authorize(device, 2) == "AUTHORIZED"
        assert site.authorize(device, 3) == "OUT_OF_COMPLIANCE"
        assert site.figures() == (2, 0, 2, "In Compliance")

        assert site.reports(device, "rum", f"{TAG}=3", "--seconds", "60") == ["waiting"]
        server.synchronize()
        assert site.reports(device, "poll") == ["ACCEPTED"]
        assert site.figures() == site.figures_in_portal() == (2, 3, -1, "Out Of Compliance")
        assert "PLT0000001" in site.instances()
        assert "host-PLT0000001" in site.instances()

        site.order(2, "PLANT-2")
        assert site.authorize(device, 3) == "OUT_OF_COMPLIANCE"
        server.synchronize()
        assert site.authorize(device, 3) == "AUTHORIZED"
        assert site.authorize(device, 4) == "AUTHORIZED"

        assert site.sign_with_root_after(hours=47, minutes=59, seconds=59) == 0
        assert server.synchronize()["three_tier"] is False
        site.register(url, "PLT0000002", "--three-tier", code=1)

        site.pass_two_days()
        site.stack.manage("sweep")
        site.stack.manage("sweep")
        assert server.synchronize()["three_tier"] is True
        old = site.register(url, "PLT0000003", "--three-tier")
        assert server.verify_with_openssl(old) == 3
        assert site.authorize(old, 1) == "OUT_OF_COMPLIANCE"
        first = server.run("status")["certificates"]["local_sub_ca_cert"]

        site.stack.agent(device, "deregister")
        server.run("privacy", "--hostname", "off")
        server.synchronize()
        assert server.run("status")["certificates"]["local_sub_ca_cert"] == first
        assert site.figures() == site.figures_in_portal() == (4, 1, 3, "In Compliance")
        assert "PLT0000003" in site.instances()
        assert "host-PLT0000003" not in site.instances()

        server.synchronize("--full")
        assert site.figures() == (4, 1, 3, "In Compliance")
        server.run("sync", "--url", site.stack.url)
        server.run("sync")
    site.stack.manage("rebuild_pools", "--check")
    site.stack.manage("verify_log")
