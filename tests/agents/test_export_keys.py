"""A product with export authorization keys: `smart-agent export` against the server in memory."""

import json
from collections.abc import Callable

import pytest
from django.test import Client

from accounts.models import VirtualAccount
from accounts.services.actors import actor_for_user
from agents.smart_agent.cli import main
from agents.smart_agent.client import SmartAgent
from agents.smart_agent.errors import VerificationFailed
from agents.smart_agent.export_keys import request_key, return_key
from agents.smart_agent.messages import Sudi
from agents.smart_agent.state import Product, StateStore
from licensing.models import Hold, License
from licensing.services.exchange.dispatch import answer_message
from licensing.services.reservations.bulk_returns import return_by_code
from pki.services.authorities import read_pem
from pki.states import AuthorityName
from tests.agents.conftest import Clock
from tests.licensing.conftest import authorities, token  # noqa: F401  fixtures
from tests.licensing.stock import deliver, import_rows, line

TAG = "HSEC"
COLUMNS = "tag,kind,display_name,feature_name,license_type,enforcement_type,export_status,pids"


class Server:
    """In memory; `spoil` changes an answer on its way."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.spoil: Callable[[bytes], bytes] = lambda answer: answer

    def send(self, body: bytes) -> bytes:
        return self.spoil(answer_message(body=body, source_ip="192.0.2.1", now=self.clock()))

    def fetch(self, path: str) -> bytes:
        return Client().get(path).content


@pytest.fixture
def server(now, engineering: VirtualAccount, token: str) -> Server:  # noqa: F811  the fixture
    import_rows([f"{TAG},entitlement,Strong encryption,,perpetual,,RESTRICTED,"], now, columns=COLUMNS)
    deliver(engineering, line(License.objects.get(), 5), now=now)
    return Server(Clock(now))


@pytest.fixture
def agent(server: Server, token: str, tmp_path) -> SmartAgent:  # noqa: F811  the fixture
    agent = SmartAgent(StateStore(tmp_path / "state"), connect=lambda url: server, clock=server.clock)
    product = Product(sudi=Sudi(udi_pid="C9300-24UX", udi_serial_number="FCW1"), software_tag="SOFTWARE")
    agent.register(url="http://portal", root=read_pem(AuthorityName.ROOT), product=product, token=token)
    agent.acknowledge()
    return agent


def test_a_key_is_fetched_verified_and_given_back(agent, acme, alice, now):
    outcome = request_key(agent, tag=TAG, count=2)
    assert outcome["export_keys"] == [
        {"tag": TAG, "count": 2, "license_type": "EXPORT", "start": "", "end": "", "subscription_id": ""}
    ]
    assert request_key(agent, tag=TAG, count=2)["authorization_key"] == outcome["authorization_key"]
    code = return_key(agent, tag=TAG)["return_code"]
    assert return_key(agent, tag=TAG)["return_code"] == code
    assert agent.status()["export_keys"] == []
    return_by_code(actor=actor_for_user(alice), smart_account=acme, return_code=code, now=now)
    assert not Hold.objects.exists()


def test_the_program_prints_key_and_return_code(agent, capsys):
    make = lambda store: agent  # noqa: E731
    assert main(["export", TAG, "--count", "2", "--json"], make) == 0
    assert json.loads(capsys.readouterr().out)["authorization_key"].startswith("<specificPLR>")
    assert main(["export", TAG, "--return"], make) == 0
    assert capsys.readouterr().out.startswith("Return code, to be entered in the portal: C")
    assert main(["export", TAG, "--count", "99"], make) == 1
    assert "NOT_ENTITLED" in capsys.readouterr().err
    assert main(["export", "OTHER", "--return"], make) == 2


def test_a_key_is_installed_as_no_reservation_and_ends_with_the_registration(agent, tmp_path):
    key = request_key(agent, tag=TAG)["authorization_key"]
    agent.deregister()
    assert agent.status()["export_keys"] == []
    agent.reservations.request(product=None, root="", signer="")
    with pytest.raises(VerificationFailed, match="not a reservation"):
        agent.reservations.install(key.encode())


def test_keys_of_a_third_party_are_printed_and_an_outage_names_the_time(agent, capsys):
    make = lambda store: agent  # noqa: E731
    assert main(["third-party", "APNS", "push", "--parameter", "topic=a"], make) == 0
    assert capsys.readouterr().out.startswith("push: SANDBOX-")
    assert main(["third-party", "APNS", "DOWN"], make) == 1
    assert "Try again in 60 s." in capsys.readouterr().err
    assert main(["third-party", "APNS", "push", "--parameter", "topic"], make) == 2


def test_a_signer_that_the_root_does_not_know_is_refused(agent):
    with pytest.raises(VerificationFailed):
        request_key(agent, tag=TAG, signer=read_pem(AuthorityName.PRODUCT_SUB_CA))
    assert agent.status()["export_keys"] == []
