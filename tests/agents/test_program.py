"""The commands, their exit codes and what they print."""

import http.client
import json
import os
import socket
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from agents.smart_agent.cli import main
from agents.smart_agent.client import SmartAgent
from agents.smart_agent.errors import NetworkFailure, UsageError
from agents.smart_agent.transport import SmartTransport
from tests.agents.conftest import TAG, URL, Device
from tests.agents.fake_server import FakeServer

ROOT = Path(__file__).parent.parent.parent


class Program:
    def __init__(self, device: Device, capsys: pytest.CaptureFixture[str], trust: Path) -> None:
        self.device = device
        self.capsys = capsys
        self.trust = trust

    def run(self, *arguments: str) -> tuple[int, str, str]:
        code = main(
            ["--state", str(self.device.folder), *arguments],
            lambda store: SmartAgent(store, connect=lambda url: self.device.server, clock=self.device.clock),
        )
        printed = self.capsys.readouterr()
        return code, printed.out, printed.err

    def json(self, *arguments: str) -> dict[str, Any]:
        _, out, err = self.run(*arguments, "--json")
        assert err == ""
        answer = json.loads(out)
        assert isinstance(answer, dict)
        return answer

    def register(self, *more: str) -> Sequence[str]:
        return ["register", "--url", URL, "--trust", str(self.trust), "--token", "t", "--pid", "P", "--sn", "S", *more]


@pytest.fixture
def program(device: Device, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Program:
    trust = tmp_path / "root.pem"
    trust.write_text(device.server.root.pem)
    return Program(device, capsys, trust)


def test_a_life_in_one_line_each(program: Program, server: FakeServer) -> None:
    server.stock = {TAG: 2}
    code, out, _ = program.run(*program.register("--hostname", "edge"))
    assert code == 0
    assert out.startswith("Registered as ")
    assert out.endswith(" in acme.example / Engineering, acknowledged.\n")
    assert program.run("authorize", f"{TAG}=2")[:2] == (
        0,
        f"AUTHORIZED, next request at 2026-04-01T09:30:00Z: {TAG}=2 AUTHORIZED.\n",
    )
    assert program.run("ack")[0] == 0
    status = f"REGISTERED, AUTHORIZED, next request at 2026-04-01T09:30:00Z: {TAG}=2 AUTHORIZED.\n"
    assert program.run("status")[:2] == (0, status)
    goodbye = "Deregistered; EVALUATION, 7776000 s of the evaluation period left.\n"
    assert program.run("deregister")[:2] == (0, goodbye)
    assert [text["header"]["request_type"] for text in server.texts] == [
        "REGISTRATION",
        "ACK",
        "AUTHORIZATION",
        "ACK",
        "DEREGISTRATION",
    ]


def test_the_options_of_a_registration_arrive(program: Program, server: FakeServer) -> None:
    program.run(
        *program.register("--uuid", "u", "--vid", "V01", "--host-identifier", "h", "--software-tag", "T", "--no-ack"),
        *("--ip-address", "10.0.0.1", "--mac-address", "00:11", "--ha-peer", "P-1:2:S2"),
    )
    (text,) = server.texts
    assert text["header"]["sudi"] == {
        "udi_pid": "P",
        "udi_serial_number": "S",
        "udi_vid": "V01",
        "uuid": "u",
        "host_identifier": "h",
    }
    data = {name: value for name, value in text["data"].items() if name != "csr"}
    assert data == {
        "id_token": "t",
        "software_tag_identifier": "T",
        "ip_address": "10.0.0.1",
        "mac_address": "00:11",
        "ha_peers": [{"udi_pid": "P-1:2", "udi_serial_number": "S2"}],
    }


def test_json_tells_states_and_deadlines(program: Program) -> None:
    answer = program.json("status")
    assert answer["ok"] is True
    assert (answer["registration"], answer["authorization"]) == ("UNREGISTERED", "NONE")
    assert answer["evaluation_seconds_left"] == 7776000
    deadlines = ("next_authorization_at", "authorization_expires_at", "renew_at", "id_certificate_expires_at")
    assert [answer[name] for name in deadlines] == [None] * 4


def test_a_registration_reports_what_is_consumed_already(program: Program, server: FakeServer) -> None:
    assert program.run("authorize", f"{TAG}=1")[1].startswith("EVALUATION, 7776000 s of the evaluation period left")
    answer = program.json(*program.register())
    assert answer["authorization"] == "OUT_OF_COMPLIANCE"
    assert server.texts[-1]["header"]["request_type"] == "AUTHORIZATION"


def test_a_registration_without_its_acknowledgement_is_still_one(program: Program, server: FakeServer) -> None:
    server.lose = [None, "request"]
    answer = program.json(*program.register())
    assert (answer["ok"], answer["registration"], answer["acknowledged"]) == (True, "REGISTERED", False)
    assert answer["follow_up"]["error_code"] == "NETWORK"


def test_a_refusal_exits_with_1_and_its_code(program: Program, server: FakeServer) -> None:
    server.refuse, server.refuse_signed = "TOKEN_REVOKED", False
    assert program.run(*program.register()) == (1, "", "TOKEN_REVOKED: because of TOKEN_REVOKED\n")
    assert program.json(*program.register()) == {
        "ok": False,
        "error_code": "TOKEN_REVOKED",
        "message": "because of TOKEN_REVOKED",
        "signed": False,
        "retry_time_seconds": 0,
    }


def test_what_does_not_verify_exits_with_2(program: Program, server: FakeServer) -> None:
    server.alter_envelope = lambda envelope: envelope.update(signature=None)
    code, out, err = program.run(*program.register())
    assert (code, out) == (2, "")
    assert err.startswith("VERIFICATION_FAILED: ")


def test_no_answer_exits_with_3(program: Program, server: FakeServer) -> None:
    server.lose = ["request"]
    assert program.run(*program.register()) == (3, "", "NETWORK: lost on the way\n")


@pytest.mark.parametrize(
    "arguments",
    [
        ["authorize", "tag"],
        ["authorize", "=1"],
        ["authorize", "tag=-1"],
        ["authorize", "tag=1000000001"],
        ["authorize", "tag=1=2"],
        ["authorize", "tag=١"],
        ["authorize", "bad\udcfftag=1"],
        ["register"],
        [],
    ],
)
def test_wrong_arguments_exit_with_2(program: Program, arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        program.run(*arguments)
    assert caught.value.code == 2


def test_a_tag_given_twice_is_refused(program: Program) -> None:
    assert program.run("authorize", "a,1.0_x=1", "a,1.0_x=2")[0] == 2


def test_a_trust_file_that_is_none_is_refused(program: Program, tmp_path: Path) -> None:
    for content in (b"", b"\xff", b"x" * 70_000):
        program.trust.write_bytes(content)
        assert program.run(*program.register())[0] == 2
    program.trust = tmp_path / "missing.pem"
    assert program.run(*program.register())[0] == 2


def test_the_script_runs_from_anywhere(tmp_path: Path) -> None:
    environment = {"PATH": os.environ["PATH"], "SMART_AGENT_STATE": str(tmp_path / "state")}
    script = [str(ROOT / "agents" / "bin" / "smart-agent"), "status", "--json"]
    done = subprocess.run(script, cwd=tmp_path, env=environment, capture_output=True, check=True, text=True)
    assert json.loads(done.stdout)["registration"] == "UNREGISTERED"


@pytest.mark.parametrize("url", ["portal.example", "ftp://portal.example", "http://", "http://a/?q=1", "http://a:b/"])
def test_only_http_urls_are_asked(url: str) -> None:
    with pytest.raises(UsageError):
        SmartTransport(url)


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("https://a", "/licservice/license"),
        ("https://a/", "/licservice/license"),
        ("https://a/portal/", "/portal/licservice/license"),
        ("https://a/SmartTransport", "/SmartTransport"),
    ],
)
def test_the_message_goes_to_the_license_service(monkeypatch: pytest.MonkeyPatch, url: str, path: str) -> None:
    asked: list[str] = []

    class Connection:
        def request(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> None:
            asked.append(path)
            raise ConnectionResetError("gone")

        def close(self) -> None:
            asked.append("closed")

    monkeypatch.setattr(http.client, "HTTPSConnection", lambda *_, **__: Connection())
    with pytest.raises(NetworkFailure, match="gone"):
        SmartTransport(url).send(b"")
    assert asked == [path, "closed"]


def test_an_answer_that_is_cut_off_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same command later sends the same bytes, as after any failure of the network."""

    class Connection:
        def request(self, *_: object) -> None: ...

        def getresponse(self) -> http.client.HTTPResponse:
            ours, theirs = socket.socketpair()
            theirs.sendall(b'HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n{"response": "')
            theirs.close()
            answer = http.client.HTTPResponse(ours)
            answer.begin()
            ours.close()
            return answer

        def close(self) -> None: ...

    monkeypatch.setattr(http.client, "HTTPSConnection", lambda *_, **__: Connection())
    with pytest.raises(NetworkFailure, match="cut off"):
        SmartTransport("https://a").send(b"")
