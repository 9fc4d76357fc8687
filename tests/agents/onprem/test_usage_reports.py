"""Usage reports and keys of third parties over an on-prem server's HTTP: into its files, and back to the product."""

import base64
import http.client
import json
import sqlite3
from collections.abc import Iterator
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding

from agents.onprem.http_service import LicenseServer, Service
from agents.onprem.products import usage_reports
from agents.onprem.schema import STEPS
from agents.smart_agent.client import SmartAgent
from agents.smart_agent.errors import Refused
from agents.smart_agent.export_keys import request_key
from agents.smart_agent.messages import RequestType
from agents.smart_agent.polling import poll
from agents.smart_agent.runner import Runner
from agents.smart_agent.state import StateStore
from agents.smart_agent.third_party import fetch_keys
from agents.smart_agent.usage import report_usage
from tests.agents.conftest import TAG
from tests.agents.onprem.conftest import Plant, product

OTHER = "other,1"
PROVIDERS = (
    '\n  - :provider: APNS\n    :enabled: true\n    :keys:\n    - :name: "server"\n      :value: "K1"'
    "\n  - :provider: PNP\n    :enabled: true\n    :keys: []"
    "\n  - :provider: SPEECHVIEW\n    :enabled: false\n    :keys: []"
)


@pytest.fixture
def url(registered_plant: Plant) -> Iterator[str]:
    server = LicenseServer(("127.0.0.1", 0), registered_plant.site)
    running = Service([server], lambda: None)
    running.start()
    try:
        yield f"http://127.0.0.1:{server.port}"
    finally:
        running.stop()


@pytest.fixture
def agent(registered_plant: Plant, url: str) -> SmartAgent:
    return register(registered_plant, url, "FCW1")


def register(plant: Plant, url: str, serial: str, folder: str = "") -> SmartAgent:
    agent = SmartAgent(StateStore(plant.desk / (folder or serial)), clock=plant.clock)
    agent.register(url=url, root=plant.portal.root.pem, product=product(serial), token=plant.token())
    agent.acknowledge()
    return agent


def carry(plant: Plant, *statuses: str, request: bytes | None = None) -> list[dict[str, Any]]:
    """A request to the portal, which says so of its reports; returns those."""
    plant.clock.advance(minutes=10)
    request = request or plant.request_sync()
    rows = [
        f"\n  - :line: {line}\n    :udi_pid: x\n    :report_id: {'null' if status == 'MALFORMED' else number}"
        f"\n    :status: {status}\n    :message: why"
        for line, (status, number) in enumerate(zip(statuses, numbers_in(request), strict=False), 1)
    ]
    told = {"extensions": "\n  :others: {}\n  :rum_acknowledgements:" + "".join(rows)} if rows else {}
    plant.install_sync(plant.portal.respond(request, **told))
    reports: list[dict[str, Any]] = plant.portal.requests[-1].get("rum_reports", [])
    return reports


def numbers_in(request: bytes) -> list[int]:
    rows = [line for line in request.decode().splitlines() if line.startswith("- :payload: ")]
    payloads = [json.loads(json.loads(row.removeprefix("- :payload: "))) for row in rows]
    return [(one["asset_identification"] | one["meta"])["report_id"] for one in payloads]


def statuses(outcome: dict[str, Any]) -> list[str]:
    return [one["status"] for one in outcome["reports"]]


def submit(agent: SmartAgent, *reports: dict[str, Any]) -> dict[str, Any]:
    """RUM_REPORT as given; the data of the answer."""
    heard: dict[str, Any] = {}
    agent.tell(RequestType.RUM_REPORT, {"reports": list(reports)}, lambda _, response: heard.update(response.data))
    return heard


def ask(agent: SmartAgent, promise: dict[str, Any]) -> dict[str, Any]:
    """POLL for what was promised; the data of the answer."""
    heard: dict[str, Any] = {}
    agent.tell(RequestType.POLL, {"poll_id": promise["poll_id"]}, lambda _, response: heard.update(response.data))
    return heard


def built_in(serial: str = "FCW1", number: int = 7, **more: Any) -> dict[str, Any]:
    sudi = {"udi_pid": "C9300-24UX", "udi_serial_number": serial}
    content = {"asset_identification": {"instance": {"sudi": sudi}}, "meta": {"report_id": number}} | more
    return {"payload": json.dumps(content), "signature": {"signing_type": "builtin", "key": "k", "value": "v"}}


def test_a_report_travels_as_it_was_signed_and_its_answer_reaches_the_product(
    registered_plant: Plant, agent: SmartAgent
) -> None:
    key = agent._store.load_key(agent.peek().identity.key)  # type: ignore[union-attr]  # it is registered
    outcome = report_usage(agent, {TAG: 3, OTHER: 1}, seconds=60)
    assert statuses(outcome) == ["waiting", "waiting"]
    assert statuses(poll(agent)) == ["waiting", "waiting"]
    sent = agent.peek().rum.waiting
    carried = carry(registered_plant, "ACCEPTED", "REPLAYED")
    assert [one["payload"] for one in carried] == [one.payload for one in sent]
    for one in carried:
        assert one["signature"]["signing_type"] == "SHA256withRSA"
        value = base64.b64decode(one["signature"]["value"])
        key.public_key().verify(value, one["payload"].encode(), padding.PKCS1v15(), hashes.SHA256())
    assert statuses(poll(agent)) == ["ACCEPTED", "REPLAYED"]
    assert [one.tag for one in agent.peek().rum.waiting] == [OTHER]
    assert carry(registered_plant) == [], "what was answered is not told again"


def test_sent_again_before_the_answer_it_is_one_report_and_after_it_is_told(
    registered_plant: Plant, agent: SmartAgent
) -> None:
    first = submit(agent, built_in())
    assert submit(agent, built_in()) == first
    assert len(carry(registered_plant)) == 1
    assert len(carry(registered_plant, "DUPLICATE")) == 1, "a response that says nothing of it leaves it waiting"
    assert submit(agent, built_in()) == {"acknowledgements": [{"report_id": 7, "status": "DUPLICATE"}]}


def test_what_the_portal_refused_is_asked_for_once_more_when_the_product_asks(
    registered_plant: Plant, agent: SmartAgent
) -> None:
    submit(agent, built_in())
    carry(registered_plant, "UDI_REGISTERED_ELSEWHERE")
    assert "poll_id" in submit(agent, built_in())
    [again] = carry(registered_plant, "ACCEPTED")
    assert again["payload"] == built_in()["payload"]


def test_a_response_to_an_earlier_request_answers_only_what_that_named(
    registered_plant: Plant, agent: SmartAgent
) -> None:
    submit(agent, built_in(number=7))
    registered_plant.clock.advance(minutes=1)
    early = registered_plant.request_sync()
    late = submit(agent, built_in(number=8))
    carry(registered_plant, "ACCEPTED", request=early)
    assert "poll_id" in submit(agent, built_in(number=8))
    assert len(carry(registered_plant, "ACCEPTED")) == 1
    assert ask(agent, late) == {"acknowledgements": [{"report_id": 8, "status": "ACCEPTED"}]}


def test_what_a_product_used_before_it_left_is_carried(registered_plant: Plant, agent: SmartAgent, url: str) -> None:
    """And a report signed by the certificate of an earlier registration is its own still."""
    report_usage(agent, {TAG: 1}, seconds=60)
    payload, signature = agent.peek().rum.waiting[0].payload, agent.peek().rum.waiting[0].signature
    agent.deregister()
    assert len(carry(registered_plant)) == 1
    agent.register(
        url=url, root=registered_plant.portal.root.pem, product=product("FCW1"), token=registered_plant.token()
    )
    agent.acknowledge()
    assert "poll_id" in submit(agent, {"payload": payload, "signature": signature})
    assert len(carry(registered_plant, "ACCEPTED")) == 1
    assert submit(agent, {"payload": payload, "signature": signature})["acknowledgements"][0]["status"] == "ACCEPTED"


def test_each_report_is_judged_for_itself(registered_plant: Plant, agent: SmartAgent) -> None:
    forged = built_in(number=9)
    forged["signature"] = {"signing_type": "SHA256withRSA", "key": "1234", "value": "AAAA"}
    heard = submit(agent, built_in(), forged, built_in("FCW2", number=10), built_in(number=11, more="x" * 70_000))
    assert len(carry(registered_plant, "ACCEPTED")) == 1
    assert ask(agent, heard)["acknowledgements"] == [
        {"report_id": 7, "status": "ACCEPTED"},
        {"report_id": 9, "status": "SIGNATURE_INVALID"},
        {"report_id": 10, "status": "UDI_MISMATCH"},
        {"report_id": None, "status": "MALFORMED"},
    ]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"payload": "no"}, "MALFORMED"),
        ({"payload": "{}"}, "MALFORMED"),
        ({"payload": built_in()["payload"].replace(" 7", " -7")}, "MALFORMED"),
        ({"payload": built_in()["payload"].replace("FCW1", "FCW1\u2028")}, "MALFORMED"),
        ({"signature": {"signing_type": "builtin", "key": "k", "value": ""}}, "MALFORMED"),
        ({"signature": {"signing_type": "", "value": "v"}}, "MALFORMED"),
        ({"signature": {"signing_type": "SHA256withRSA", "key": "1", "value": "v"}}, "SIGNATURE_INVALID"),
        (built_in("FCW2"), "UDI_MISMATCH"),
    ],
)
def test_where_none_can_be_carried_the_message_fails(
    registered_plant: Plant, agent: SmartAgent, change: dict[str, Any], code: str
) -> None:
    with pytest.raises(Refused) as refused:
        submit(agent, built_in() | change)
    assert refused.value.code == code
    assert carry(registered_plant) == []


def test_only_who_asked_is_told(registered_plant: Plant, agent: SmartAgent, url: str) -> None:
    promise = submit(agent, built_in())
    other = register(registered_plant, url, "FCW2")
    with pytest.raises(Refused) as refused:
        ask(other, promise)
    assert refused.value.code == "POLL_UNKNOWN"


def test_a_product_that_runs_polls_by_itself(registered_plant: Plant, agent: SmartAgent) -> None:
    report_usage(agent, {TAG: 1}, seconds=60)
    runner = Runner(agent)
    assert runner.next_at() == agent.now() + usage_reports.POLL_SECONDS * 1000
    carry(registered_plant, "ACCEPTED")
    registered_plant.clock.advance(hours=1)
    assert "RUM_ACKNOWLEDGED - Usage reports were answered. All were taken." in " ".join(
        line.render("") for line in runner.step()
    )
    assert agent.status()["usage_reports"] == {"waiting": 0, "poll_at": None}


def test_a_file_names_no_more_reports_than_the_portal_takes(
    registered_plant: Plant, agent: SmartAgent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(usage_reports, "MOST_ROWS", 2)
    submit(agent, *[built_in(number=number) for number in range(5)])
    assert [len(carry(registered_plant, "ACCEPTED", "ACCEPTED")) for _ in range(4)] == [2, 2, 1, 0]


def test_the_status_tells_what_waits_for_the_portal(registered_plant: Plant, agent: SmartAgent) -> None:
    submit(agent, built_in())
    assert registered_plant.status["waiting"] == {"conversions": 0, "usage_reports": 1}
    carry(registered_plant, "ACCEPTED")
    assert registered_plant.status["waiting"] == {"conversions": 0, "usage_reports": 0}


def test_answers_are_forgotten_after_90_days(registered_plant: Plant, agent: SmartAgent) -> None:
    promise = submit(agent, built_in())
    carry(registered_plant, "ACCEPTED")
    registered_plant.clock.advance(days=89)
    carry(registered_plant)
    assert ask(agent, promise) == {"acknowledgements": [{"report_id": 7, "status": "ACCEPTED"}]}
    registered_plant.clock.advance(days=2)
    carry(registered_plant)
    with pytest.raises(Refused):
        ask(agent, promise)
    with registered_plant.site.folder.reading() as database:
        assert database.execute("SELECT count(*) FROM usage_report").fetchone()[0] == 0


def test_a_third_partys_key_is_the_one_that_the_last_full_file_told(registered_plant: Plant, agent: SmartAgent) -> None:
    def refusal(**asked: Any) -> tuple[str, str]:
        with pytest.raises(Refused) as refused:
            fetch_keys(agent, **asked)
        return refused.value.code, str(refused.value)

    assert refusal(provider="APNS", key_name="server")[0] == "NOT_ENTITLED"
    registered_plant.clock.advance(minutes=1)
    request = registered_plant.request_sync(full=True)
    registered_plant.install_sync(registered_plant.portal.respond(request, third_party_providers=PROVIDERS))
    answer = fetch_keys(agent, provider="APNS", key_name="server")
    assert answer["keys"] == [{"name": "server", "value": "K1"}]
    assert "it has: server" in refusal(provider="APNS", key_name="other")[1]
    assert refusal(provider="APNS", key_name="server", key_id="1")[0] == "UNSUPPORTED_REQUEST"
    assert refusal(provider="APNS", key_name="server", parameters={"a": "b"})[0] == "UNSUPPORTED_REQUEST"
    assert refusal(provider="PNP", key_name="server")[0] == "INTERNAL"
    assert refusal(provider="SPEECHVIEW", key_name="server")[0] == "NOT_ENTITLED"
    registered_plant.synchronize()
    assert fetch_keys(agent, provider="APNS", key_name="server")["keys"], "an incremental file tells nothing of them"


@pytest.mark.parametrize(
    ("kind", "data", "cure"),
    [
        ("EXPORT_AUTHORIZATION", {"tag": TAG, "count": 1}, "reserve the license"),
        ("ENDPOINT_REPORT", {"endpoints": []}, "authorization request"),
    ],
)
def test_what_no_file_has_a_place_for_is_refused_with_what_to_do(
    registered_plant: Plant, agent: SmartAgent, kind: Any, data: dict[str, Any], cure: str
) -> None:
    with pytest.raises(Refused) as refused:
        agent.tell(kind, data, lambda *_: None)
    assert (refused.value.code, refused.value.signed) == ("UNSUPPORTED_REQUEST", True)
    assert cure in str(refused.value)


def test_the_program_shows_the_refusal_of_an_export_key(agent: SmartAgent) -> None:
    """It looks for the certificate that signs keys first, which an on-prem server does not have."""
    with pytest.raises(Refused) as refused:
        request_key(agent, tag=TAG)
    assert refused.value.code == "UNSUPPORTED_REQUEST"


def test_only_reports_may_be_long(registered_plant: Plant, agent: SmartAgent, url: str) -> None:
    assert "poll_id" in submit(agent, *[built_in(number=n, more="x" * 60_000) for n in range(20)])
    with pytest.raises(Refused) as refused:
        agent.authorize({f"{n}{'x' * 240}": 1 for n in range(5000)})
    assert refused.value.code == "HTTP_413"
    connection = http.client.HTTPConnection(url.removeprefix("http://"))
    connection.putrequest("POST", "/SmartTransport")
    connection.putheader("Content-Type", "application/json")
    connection.putheader("Content-Length", str(16 * 1024 * 1024 + 1))
    connection.endheaders()
    assert connection.getresponse().status == 413
    connection.close()


def test_a_state_of_the_version_before_is_brought_up_to_date(registered_plant: Plant, agent: SmartAgent) -> None:
    path = registered_plant.folder / "onprem.sqlite3"
    database = sqlite3.connect(path)
    for table in ("usage_promise", "export_report", "usage_report", "issued_key"):
        database.execute(f"DROP TABLE {table}")
    database.execute("PRAGMA user_version = 1")
    database.commit()
    database.close()
    assert statuses(report_usage(agent, {TAG: 1}, seconds=60)) == ["waiting"]
    assert len(carry(registered_plant, "ACCEPTED")) == 1
    assert len(STEPS) == 2
