"""The commands, their exit codes and what they print; and the service on the network."""

import http.client
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import urlsplit

import pytest

from agents.common.keys import generate_key
from agents.onprem import call_home
from agents.onprem.cli import main
from agents.onprem.http_service import Https, LicenseServer, Service
from agents.smart_agent import client
from agents.smart_agent.client import SmartAgent
from agents.smart_agent.errors import Refused
from agents.smart_agent.state import StateStore
from agents.smart_agent.transport import GATEWAY_PATH, place_url
from tests.agents.conftest import TAG
from tests.agents.onprem.conftest import Plant, product
from tests.agents.onprem.portal import FakePortal, account, owned

ROOT = Path(__file__).parents[3]


class Program:
    def __init__(self, plant: Plant, capsys: pytest.CaptureFixture[str]) -> None:
        self.plant = plant
        self.capsys = capsys

    def run(self, *arguments: str) -> tuple[int, str, str]:
        code = main(arguments, self.plant.site)
        printed = self.capsys.readouterr()
        return code, printed.out, printed.err

    def json(self, *arguments: str) -> dict[str, Any]:
        _, out, err = self.run(*arguments, "--json")
        assert err == ""
        answer = json.loads(out)
        assert isinstance(answer, dict)
        return answer


@pytest.fixture
def program(plant: Plant, capsys: pytest.CaptureFixture[str]) -> Program:
    return Program(plant, capsys)


def test_a_life_in_one_line_each(program: Program, portal: FakePortal) -> None:
    plant, desk = program.plant, program.plant.desk
    trust = plant.put("root.pem", portal.root.pem.encode())
    assert program.json("status")["phase"] == "NEW"
    code, out, _ = program.run("request-registration", "--name", "Plant 1", "--trust", str(trust))
    assert code == 0
    file = plant.folder / "outbox" / "registration_request.yaml"
    assert out == f"Request written to {file}; carry it to the portal.\n"

    answer = plant.put("authorization.yaml", portal.authorize(file.read_bytes()))
    code, out, _ = program.run("install-authorization", str(answer))
    assert (code, out) == (
        0,
        "Installed: Acme, as of 2026-03-02T09:30:00Z; 4-tier products can register.\n",
    )
    assert program.run("create-virtual-account", "Lab")[:2] == (0, "id: 2, name: Lab\n")
    token = program.run("create-token", "Lab", "--uses", "1")[1].strip()
    plant.register("FCW1", token=token).agent.authorize({TAG: 1})
    assert program.json("privacy", "--hostname", "off")["sent"]["hostname"] is False

    plant.clock.advance(minutes=1)
    request = desk / "request.yaml.gz"
    assert program.json("request-sync", "--full", "--output", str(request))["full"] is True
    plain = subprocess.run(["gzip", "-dc", str(request)], capture_output=True, check=True).stdout
    response = plant.put("response.yaml", portal.respond(plain))
    assert program.run("install-sync", str(response))[0] == 0
    assert program.run("install-sync", str(response))[1].startswith("This file is installed already")

    status = program.json("status")
    assert (status["phase"], status["product_instances"]) == ("REGISTERED", 1)
    assert [one["name"] for one in status["virtual_accounts"]] == ["Engineering", "Lab"]
    assert "Lab: 1 product instances" in program.run("status")[1]
    assert f"C9300-24UX:FCW1 (Lab, registered, 4-tier): {TAG}=1" in program.run("instances")[1]


def test_a_refusal_says_where_and_exits_1(program: Program, portal: FakePortal) -> None:
    plant = program.plant
    plant.install_authorization(portal.authorize(plant.request_registration()))
    plant.clock.advance(minutes=1)
    spoilt = plant.put("spoilt.yaml", portal.respond(plant.request_sync(), satellite_name="no"))
    code, _, err = program.run("install-sync", str(spoilt))
    assert code == 1
    assert err.startswith("WRONG_TYPE: line 4, :satellite_name::")
    answer = program.json("install-sync", str(spoilt))
    assert (answer["error_code"], answer["line"], answer["key"]) == ("WRONG_TYPE", 4, ":satellite_name:")


@pytest.mark.parametrize(
    ("arguments", "code", "error"),
    [
        (["request-sync"], 2, "USAGE"),
        (["request-registration"], 2, "USAGE"),
        (["request-registration", "--name", "x", "--trust", "/nowhere"], 2, "USAGE"),
        (["install-sync", "/nowhere"], 2, "USAGE"),
        (["sync", "--url", "http://127.0.0.1:1"], 2, "USAGE"),
    ],
)
def test_wrong_use_exits_2(program: Program, arguments: list[str], code: int, error: str) -> None:
    result, _, err = program.run(*arguments)
    assert (result, err.partition(":")[0]) == (code, error)


def test_a_disk_that_does_not_take_a_file_is_told(registered_plant: Plant, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = Program(registered_plant, capsys).run("request-sync", "--output", "/nowhere/request.yaml")
    assert (code, err.partition(":")[0]) == (2, "STORAGE")
    assert registered_plant.synchronize()["last-sync"] == "2026-03-02T09:30:00Z"


def test_no_answer_from_the_portal_exits_3(registered_plant: Plant, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = Program(registered_plant, capsys).run("sync", "--url", "http://127.0.0.1:1")
    assert (code, err.partition(":")[0]) == (3, "NETWORK")


def test_a_folder_of_somebody_else_s_is_left_alone(program: Program, portal: FakePortal) -> None:
    program.plant.folder.mkdir()
    (program.plant.folder / "letter.txt").write_text("dear")
    trust = program.plant.put("root.pem", portal.root.pem.encode())
    code, _, err = program.run("request-registration", "--name", "x", "--trust", str(trust))
    assert code == 2
    assert "a folder of its own" in err
    assert [path.name for path in program.plant.folder.iterdir()] == ["letter.txt"]


@pytest.fixture
def service(registered_plant: Plant) -> Iterator[dict[str, str]]:
    """URLs of the running service."""
    https = Https(registered_plant.site)
    servers = [
        LicenseServer(("127.0.0.1", 0), registered_plant.site),
        LicenseServer(("127.0.0.1", 0), registered_plant.site, https.context),
    ]
    running = Service(servers, lambda: None)
    running.start()
    try:
        yield {"http": f"http://127.0.0.1:{servers[0].port}", "https": f"https://127.0.0.1:{servers[1].port}"}
    finally:
        running.stop()


def test_a_product_registers_over_http(registered_plant: Plant, service: dict[str, str]) -> None:
    plant = registered_plant
    agent = SmartAgent(StateStore(plant.desk / "device"), clock=plant.clock)
    root = plant.portal.root.pem
    agent.register(url=service["http"], root=root, product=product("FCW1"), token=plant.token())
    assert agent.authorize({TAG: 1})["authorization"] == "AUTHORIZED"


@pytest.mark.parametrize("gateway", [False, True])
def test_a_product_registers_by_call_home(registered_plant: Plant, service: dict[str, str], gateway: bool) -> None:
    plant = registered_plant
    agent = SmartAgent(StateStore(plant.desk / "device"), clock=plant.clock)
    url = service["http"] + GATEWAY_PATH if gateway else place_url(service["http"], "callhome")
    agent.register(url=url, root=plant.portal.root.pem, product=product("FCW1"), token=plant.token())
    assert agent.authorize({TAG: 1})["authorization"] == "AUTHORIZED"


@pytest.mark.parametrize(
    "envelope",
    [
        "no XML",
        "<Envelope/>",
        '<!DOCTYPE x><s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"/>',
        call_home.wrap(b"x", "http://schemas.xmlsoap.org/soap/envelope/").decode().replace("eA==", "?"),
        call_home.wrap(b"x", "http://schemas.xmlsoap.org/soap/envelope/").decode().replace("SmartLicense", "Other"),
        call_home.wrap(b"no message", "http://www.w3.org/2003/05/soap-envelope").decode(),
    ],
)
def test_an_envelope_without_a_message_is_refused(service: dict[str, str], envelope: str) -> None:
    assert post(service["http"], GATEWAY_PATH, envelope.encode(), "text/xml") == 400
    assert post(service["http"], GATEWAY_PATH, envelope.encode(), "application/json") == 415


def post(url: str, path: str, body: bytes, kind: str) -> int:
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=30)
    try:
        connection.request("POST", path, body, {"Content-Type": kind})
        return connection.getresponse().status
    finally:
        connection.close()


def test_a_token_of_five_uses_registers_five_whoever_comes_first(
    registered_plant: Plant, service: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "generate_key", generate_key)
    plant, token = registered_plant, registered_plant.token(uses=5)
    codes: list[str] = []

    def register(number: int) -> None:
        agent = SmartAgent(StateStore(plant.desk / f"racer-{number}"), clock=plant.clock)
        about = {"root": plant.portal.root.pem, "product": product(f"RACE{number}"), "token": token}
        try:
            agent.register(url=service["http"], **about)
            codes.append("registered")
        except Refused as refusal:
            codes.append(refusal.code)

    racers = [Thread(target=register, args=[number]) for number in range(12)]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join()
    assert sorted(codes) == ["TOKEN_EXHAUSTED"] * 7 + ["registered"] * 5
    assert len(plant.instances) == 5


@pytest.mark.parametrize(
    ("method", "path", "kind", "body", "status"),
    [
        ("POST", "/SmartTransport", "application/json", b"{}", 400),
        ("POST", "/licservice/license", "application/json", b"\xff", 400),
        ("POST", "/licservice/license", "text/xml", b"{}", 415),
        ("POST", "/licservice/license", "application/json", b"x" * (16 * 1024 * 1024 + 1), 413),
        ("POST", "/elsewhere", "application/json", b"{}", 404),
        ("GET", "/licservice/license", "application/json", b"", 405),
    ],
)
def test_what_is_no_message_gets_a_status(
    service: dict[str, str], method: str, path: str, kind: str, body: bytes, status: int
) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", urlsplit(service["http"]).port, timeout=10)
    connection.putrequest(method, path)
    connection.putheader("Content-Type", kind)
    connection.putheader("Content-Length", str(len(body)))
    connection.endheaders()
    if len(body) < 1024:
        connection.send(body)
    answer = connection.getresponse()
    assert answer.status == status
    answer.read()
    connection.close()


class Real:
    """Everything real: keys, clock, TLS, and each program a process of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.portal = FakePortal(lambda: datetime.now(UTC), accounts=account(1, "Engineering", owned(TAG, 5)))
        (folder / "root.pem").write_text(self.portal.root.pem)

    def run(self, program: str, *arguments: str) -> dict[str, Any]:
        state = str(self.folder / program)
        done = subprocess.run(
            [sys.executable, "-m", f"agents.{program}", "--state", state, "--json", *arguments],
            cwd=ROOT,
            env={"PATH": os.environ["PATH"], "SSL_CERT_FILE": str(self.folder / "root.pem")},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        answer = json.loads(done.stdout)
        assert isinstance(answer, dict)
        return answer

    def enrol(self) -> str:
        """Register the server by files; returns an ID token."""
        trust = ["--trust", str(self.folder / "root.pem")]
        asked = self.run("onprem", "request-registration", "--name", "Real", "--host", "127.0.0.1", *trust)
        answer = self.folder / "authorization.yaml"
        answer.write_bytes(self.portal.authorize(Path(asked["file"]).read_bytes()))
        self.run("onprem", "install-authorization", str(answer))
        return str(self.run("onprem", "create-token", "Engineering")["token"])

    def serve(self) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "agents.onprem", "--state", str(self.folder / "onprem")]
        where = ["serve", "--http", "127.0.0.1:0", "--https", "127.0.0.1:0"]
        return subprocess.Popen([*command, *where], cwd=ROOT, stdout=subprocess.PIPE, text=True)


def test_a_product_registers_over_https_below_the_licensing_root(tmp_path: Path) -> None:
    real = Real(tmp_path)
    token = real.enrol()
    with real.serve() as process:
        assert process.stdout is not None
        urls = json.loads(process.stdout.readline())["serving"]
        where = ["--url", urls["https"], "--trust", str(tmp_path / "root.pem"), "--token", token]
        real.run("smart_agent", "register", *where, "--pid", "C9300-24UX", "--sn", "FCW1")
        answered = real.run("smart_agent", "authorize", f"{TAG}=5")
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=20) == 0
    assert (answered["registration"], answered["authorization"]) == ("REGISTERED", "AUTHORIZED")
    assert set(urls) == {"http", "https"}
    files = [path for path in (tmp_path / "onprem").rglob("*") if path.is_file()]
    assert {oct(path.stat().st_mode & 0o777) for path in files} == {"0o600"}
