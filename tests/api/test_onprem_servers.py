"""On-prem servers over HTTP: files in and out, plain, packed or as a form; in the background; by the server itself."""

import base64
import hashlib
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest
import time_machine
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from pytest_django import Settings

from cssm.common.errors import Forbidden
from licensing.models import License, LicenseFamily, ProductInstance
from sync.models import Exchange, OnPremServer
from sync.services.imports import synchronize
from sync.services.queue import work_exchanges
from tests.api.conftest import BASE, Caller
from tests.authorities import prepare_authorities
from tests.sync.conftest import parse
from tests.sync.files import Server, account, instance, pack

SERVERS = "/v1/accounts/acme.example/onprem-servers"
YAML = "application/yaml"


@pytest.fixture(autouse=True)
def _at(now: datetime) -> Any:
    with time_machine.travel(now, tick=False) as traveller:
        yield traveller


@pytest.fixture(autouse=True)
def authorities(db: None, now: datetime, monkeypatch: pytest.MonkeyPatch) -> None:
    prepare_authorities(now, monkeypatch)
    family = LicenseFamily.objects.create(name="a")
    License.objects.create(tag="tag_a", family=family, display_name="License A", default_type="perpetual")


def body_of(answer: Any) -> bytes:
    return b"".join(answer.streaming_content)


@pytest.fixture
def server(va_user: Caller) -> Server:
    made = Server()
    answer = va_user.post(f"{SERVERS}?virtualAccount=Engineering", raw=made.registration(), content_type=YAML)
    assert answer.status_code == 201, answer.content
    made.install(parse(body_of(answer)))
    return made


def path_of(server: Server) -> str:
    return f"{SERVERS}/{server.uuid}/synchronizations"


def test_a_server_is_registered_and_listed(server: Server, va_user: Caller, viewer: Caller):
    [row] = viewer.get(SERVERS).json()["servers"]
    assert {key: row[key] for key in ("uuid", "name", "virtualAccount", "status", "threeTierCertificate")} == {
        "uuid": server.uuid,
        "name": "Plant 7",
        "virtualAccount": "Engineering",
        "status": "PENDING",
        "threeTierCertificate": "WAITING",
    }
    assert row["threeTierDueAt"].startswith("2026-03-04T09:30:00")
    assert va_user.get(f"{SERVERS}/{server.uuid}").json()["server"]["uuid"] == server.uuid


@pytest.mark.parametrize("how", ["plain", "gzip", "octets", "form", "packed form"])
def test_a_file_may_come_in_any_of_its_forms(server: Server, va_user: Caller, how: str):
    data = server.synchronization(account(1, "Engineering", instance(7, uses={"tag_a": 3})))
    if "form" in how:
        file = SimpleUploadedFile("x.yaml", pack(data) if "packed" in how else data)
        answer = Client().post(BASE + path_of(server), {"file": file}, headers=va_user.headers())
    else:
        kind = {"plain": YAML, "gzip": "application/gzip", "octets": "application/octet-stream"}[how]
        answer = va_user.post(path_of(server), raw=pack(data) if how == "gzip" else data, content_type=kind)
    assert answer.status_code == 200
    assert answer["Content-Type"] == YAML
    assert answer["Content-Disposition"].startswith('attachment; filename="synchronization_response_Plant_7')
    body = body_of(answer)
    assert int(answer["Content-Length"]) == len(body)
    assert parse(body)[":type"] == "synchronization_response"
    assert ProductInstance.objects.count() == 1


def test_a_bad_file_is_answered_with_what_and_where(server: Server, va_user: Caller):
    data = server.synchronization(account(1, "Engineering", instance(7, uses={"tag_a": 3}).replace(": 3", ": .nan")))
    answer = va_user.post(path_of(server), raw=data, content_type=YAML)
    assert (answer.status_code, answer.json()["code"]) == (400, "WRONG_TYPE")
    [problem] = answer.json()["errors"]
    assert problem["key"] == ":virtual_accounts:[0]:product_instances:[0]:license:[0]:consumed_quantity:"
    assert data.splitlines()[problem["line"] - 1].strip() == b":consumed_quantity: .nan"
    assert Exchange.objects.count() == 1, "only the registration"


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        (lambda data: b"x", 400, "SIGNATURE_INVALID"),
        (lambda data: data[:-10], 400, "SIGNATURE_INVALID"),
        (lambda data: b"\xef\xbb\xbf" + data, 400, "FORBIDDEN_YAML"),
        (lambda data: pack(b"a" * 50_000_000), 413, "TOO_LARGE"),
        (lambda data: pack(data)[:-4], 400, "MALFORMED"),
        (lambda data: data.replace(b"Engineering", b"Engineerinh"), 400, "SIGNATURE_INVALID"),
    ],
)
def test_what_is_no_file_of_the_server_is_refused(
    server: Server, va_user: Caller, change: Callable[[bytes], bytes], status: int, code: str
):
    data = change(server.synchronization(account(1, "Engineering", instance(7))))
    answer = va_user.post(path_of(server), raw=data, content_type="application/octet-stream")
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.json()["errors"] or code == "TOO_LARGE"


def test_stale_files_and_gaps_are_conflicts(server: Server, va_user: Caller):
    first = server.synchronization(account(1, "Engineering", instance(7)), generated="2026-03-02T09:31:00Z")
    assert va_user.post(path_of(server), raw=first, content_type=YAML).status_code == 200
    older = server.synchronization(account(1, "Engineering"), generated="2026-03-02T09:30:30Z")
    newer = server.synchronization(account(1, "Engineering"), generated="2026-03-02T09:32:00Z")
    for data, code in ((older, "STALE_FILE"), (newer, "SEQUENCE_GAP")):
        answer = va_user.post(path_of(server), raw=data, content_type=YAML)
        assert (answer.status_code, answer.json()["code"]) == (409, code)


def test_other_types_and_too_large_files_are_refused(server: Server, va_user: Caller, settings: Settings):
    data = server.synchronization(account(1, "Engineering"))
    assert va_user.post(path_of(server), raw=data, content_type="text/html").status_code == 415
    settings.MAX_UPLOAD_BYTES = 1000
    answer = va_user.post(path_of(server), raw=data, content_type=YAML)
    assert (answer.status_code, answer.json()["code"]) == (413, "TOO_LARGE")
    assert [row["code"] for row in answer.json()["errors"]] == ["TOO_LARGE"]
    assert (
        va_user.post(path_of(server), raw=b"--x--", content_type="multipart/form-data; boundary=x").status_code == 400
    )


def test_a_stranger_and_a_viewer_upload_nothing(server: Server, viewer: Caller, stranger: Caller):
    data = server.synchronization(account(1, "Engineering"))
    assert viewer.post(path_of(server), raw=data, content_type=YAML).status_code == 403
    assert stranger.post(path_of(server), raw=data, content_type=YAML).status_code == 404
    unknown = path_of(server).replace(server.uuid, "11111111-1111-4111-8111-111111111111")
    answer = viewer.post(unknown, raw=data, content_type=YAML)
    assert answer.status_code == 403


def test_an_unknown_server_is_named_as_that(server: Server, va_user: Caller):
    unknown = path_of(server).replace(server.uuid, "11111111-1111-4111-8111-111111111111")
    answer = va_user.post(unknown, raw=server.synchronization(), content_type=YAML)
    assert (answer.status_code, answer.json()["code"]) == (404, "UNKNOWN_SERVER")


def test_a_file_in_the_background_is_asked_for_until_it_is_there(server: Server, va_user: Caller, now: datetime):
    data = server.synchronization(account(1, "Engineering", instance(7, uses={"tag_a": 3})))
    answer = Client().post(
        BASE + path_of(server), data, content_type=YAML, headers=va_user.headers({"Prefer": "respond-async"})
    )
    assert answer.status_code == 202
    url = answer.json()["statusUrl"].removeprefix(BASE)
    assert va_user.get(url).json()["exchange"]["state"] == "WAITING"
    work_exchanges(now=now)
    exchange = va_user.get(url).json()["exchange"]
    assert (exchange["state"], exchange["rowsStaged"]) == ("APPLIED", 1)
    file = va_user.get(exchange["fileUrl"].removeprefix(BASE))
    assert parse(body_of(file))[":type"] == "synchronization_response"
    assert body_of(va_user.get(f"{url}/request")) == data
    history = va_user.get(f"{SERVERS}/{server.uuid}/exchanges").json()
    assert [row["kind"] for row in history["exchanges"]] == ["SYNCHRONIZATION", "REGISTRATION"]


def test_a_waiting_file_is_cancelled(server: Server, va_user: Caller, now: datetime):
    data = server.synchronization(account(1, "Engineering", instance(7)))
    answer = Client().post(
        BASE + path_of(server), data, content_type=YAML, headers=va_user.headers({"Prefer": "respond-async"})
    )
    url = answer.json()["statusUrl"].removeprefix(BASE)
    assert va_user.post(f"{url}/cancel").json()["exchange"]["state"] == "CANCELLED"
    work_exchanges(now=now)
    assert va_user.get(f"{url}/response").status_code == 404
    assert not ProductInstance.objects.exists()


def test_a_dry_run_answers_the_difference(server: Server, va_user: Caller):
    data = server.synchronization(account(1, "Engineering", instance(7, uses={"tag_a": 3})))
    answer = va_user.post(f"{path_of(server)}?dry_run=true", raw=data, content_type=YAML)
    assert answer.status_code == 200
    difference = answer.json()["difference"]
    assert difference["instances"]["added"] == 1
    assert difference["licenses"][0]["status"] == "Out Of Compliance"
    assert not ProductInstance.objects.exists()


def test_a_file_sent_again_with_its_key_is_answered_alike(server: Server, va_user: Caller, now: datetime):
    data = server.synchronization(account(1, "Engineering", instance(7, uses={"tag_a": 3})))
    answers = [va_user.post(path_of(server), raw=each, content_type=YAML, key="k1") for each in (data, pack(data))]
    assert [answer.status_code for answer in answers] == [200, 200]
    assert body_of(answers[0]) == body_of(answers[1])
    assert [answer.headers.get("Idempotent-Replayed") for answer in answers] == [None, "true"]
    assert answers[1]["Content-Disposition"] == answers[0]["Content-Disposition"]
    other = server.synchronization(account(1, "Engineering"), generated="2026-03-02T10:01:00Z", full=True)
    answer = va_user.post(path_of(server), raw=other, content_type=YAML, key="k1")
    assert (answer.status_code, answer.json()["code"]) == (422, "IDEMPOTENCY_KEY_REUSED")
    assert (ProductInstance.objects.count(), Exchange.objects.count()) == (1, 2)


def test_refusals_dry_runs_and_files_in_the_background_are_kept_with_their_key(
    server: Server, va_user: Caller, now: datetime
):
    early = server.synchronization(account(1, "Engineering"), generated="2026-03-02T09:31:00Z")
    dry = [va_user.post(f"{path_of(server)}?dry_run=1", raw=early, content_type=YAML, key="k") for _ in range(2)]
    assert dry[0].json()["exchange"]["id"] == dry[1].json()["exchange"]["id"]
    headers = va_user.headers({"Prefer": "respond-async", "Idempotency-Key": "k2"})
    background = Client().post(BASE + path_of(server), early, content_type=YAML, headers=headers)
    work_exchanges(now=now)
    again = Client().post(BASE + path_of(server), early, content_type=YAML, headers=headers)
    assert (again.status_code, again.content) == (background.status_code, background.content) == (202, again.content)
    stale = server.synchronization(account(1, "Engineering"), generated="2026-03-02T09:30:30Z")
    refused = [va_user.post(path_of(server), raw=stale, content_type=YAML, key="k3") for _ in range(2)]
    assert [(answer.status_code, answer.json()["code"]) for answer in refused] == [(409, "STALE_FILE")] * 2
    assert refused[0].content == refused[1].content


def test_two_files_at_once_under_one_key_are_told_apart(
    server: Server, va_user: Caller, now: datetime, monkeypatch: pytest.MonkeyPatch
):
    """The second comes while the first is still worked on."""
    first = server.synchronization(account(1, "Engineering", instance(7)), generated="2026-03-02T09:31:00Z")
    second = server.synchronization(account(1, "Engineering", instance(8)), generated="2026-03-02T09:32:00Z")
    meanwhile: list[int] = []

    def send_the_second(**options: Any) -> Exchange:
        monkeypatch.setattr("sync.api.servers.synchronize", synchronize)
        answer = va_user.post(path_of(server), raw=second, content_type=YAML, key="k")
        meanwhile.append(answer.status_code)
        assert answer.json()["code"] == "IDEMPOTENCY_KEY_REUSED"
        return synchronize(**options)

    monkeypatch.setattr("sync.api.servers.synchronize", send_the_second)
    assert va_user.post(path_of(server), raw=first, content_type=YAML, key="k").status_code == 200
    assert meanwhile == [422]
    assert list(ProductInstance.objects.values_list("external_id", flat=True)) == ["7"]


def test_a_key_is_free_again_where_its_call_got_no_final_answer(
    server: Server, va_user: Caller, viewer: Caller, now: datetime, monkeypatch: pytest.MonkeyPatch
):
    first = server.synchronization(account(1, "Engineering", instance(7)), generated="2026-03-02T09:31:00Z")
    second = server.synchronization(account(1, "Engineering", instance(8)), generated="2026-03-02T09:32:00Z")

    def refuse(**options: Any) -> Exchange:
        raise Forbidden("Not now.")

    with monkeypatch.context() as patch:
        patch.setattr("sync.api.servers.synchronize", refuse)
        assert va_user.post(path_of(server), raw=first, content_type=YAML, key="k").status_code == 403
    assert va_user.post(path_of(server), raw=second, content_type=YAML, key="k").status_code == 200


def test_a_registration_sent_again_with_its_key_is_answered_alike(va_user: Caller):
    data, url = Server().registration(), f"{SERVERS}?virtualAccount=Engineering"
    answers = [va_user.post(url, raw=data, content_type=YAML, key="k") for _ in range(2)]
    assert [answer.status_code for answer in answers] == [201, 201]
    assert body_of(answers[0]) == body_of(answers[1])
    other = Server(uuid="11111111-1111-4111-8111-111111111111").registration()
    assert va_user.post(url, raw=other, content_type=YAML, key="k").status_code == 422
    assert OnPremServer.objects.count() == 1


def test_a_server_is_renamed(server: Server, va_user: Caller, viewer: Caller):
    path = f"{SERVERS}/{server.uuid}/rename"
    assert viewer.post(path, {"name": "x"}).status_code == 403
    assert va_user.post(path, {"name": "Plant 8"}).json()["server"]["name"] == "Plant 8"
    assert va_user.post(path, {"name": " "}).status_code == 400


def test_a_server_is_removed(server: Server, va_user: Caller):
    assert va_user.post(f"{SERVERS}/{server.uuid}/remove").json()["status"] == "SUCCESS"
    answer = va_user.post(path_of(server), raw=server.synchronization(), content_type=YAML)
    assert (answer.status_code, answer.json()["code"]) == (409, "SERVER_REMOVED")


def test_the_operator_has_a_certificate_signed_early(server: Server, operator: Caller, admin: Caller):
    path, body = f"/v1/operator/onprem-servers/{server.uuid}/three-tier", {"action": "sign", "reason": "urgent"}
    assert admin.post(path, body).status_code == 403
    assert operator.post(path, body).json()["status"] == "SUCCESS"
    assert operator.post(path, {"action": "burn", "reason": "x"}).status_code == 400


# --- by the server itself ----


def call(server: Server, data: bytes, now: datetime, *, shift: float = 0, key: Any = None, **headers: str) -> Any:
    path = f"/onprem/v1/{server.uuid}/synchronizations"
    stamp = str(int((now.timestamp() + shift) * 1000))
    text = f"POST\n{path}\n{stamp}\n{hashlib.sha256(data).hexdigest()}".encode()
    signature = (key or server.key).sign(text, padding.PKCS1v15(), hashes.SHA256())
    given = {"X-OnPrem-Timestamp": stamp, "X-OnPrem-Signature": base64.b64encode(signature).decode()} | headers
    return Client().post(path, data, content_type=YAML, headers=given)


def test_a_server_synchronizes_over_the_network(server: Server, now: datetime):
    data = server.synchronization(account(1, "Engineering", instance(7, uses={"tag_a": 3})))
    answer = call(server, pack(data), now)
    assert answer.status_code == 200
    server.install(parse(body_of(answer)))
    again = server.synchronization(account(1, "Engineering"), generated="2026-03-02T10:01:00Z")
    server.install(parse(body_of(call(server, again, now, shift=1))))
    assert OnPremServer.objects.get().last_sync == server.last_sync


def test_a_large_file_over_the_network_names_where_programs_may_ask(server: Server, va_user: Caller, now: datetime):
    data = server.synchronization(account(1, "Engineering", instance(7, uses={"tag_a": 3})))
    answer = call(server, data, now, Prefer="respond-async")
    assert answer.status_code == 202
    exchange = va_user.get(answer.json()["statusUrl"].removeprefix(BASE)).json()["exchange"]
    assert (exchange["id"], exchange["state"]) == (answer.json()["exchange"], "WAITING")
    work_exchanges(now=now)
    assert parse(body_of(call(server, data, now, shift=1)))[":type"] == "synchronization_response"


def test_a_dry_run_lists_what_it_would_change_and_is_applied(server: Server, va_user: Caller, viewer: Caller):
    data = server.synchronization(account(1, "Engineering", instance(7, uses={"tag_a": 3}), instance(8)))
    compared = va_user.post(f"{path_of(server)}?dry_run=true", raw=data, content_type=YAML).json()["exchange"]
    path = f"/v1/accounts/acme.example/exchanges/{compared['id']}"
    listed = viewer.get(f"{path}/changes?change=ADDED&limit=1&offset=1").json()
    assert listed["totalRecords"] == 2
    assert [(row["change"], row["id"], row["name"]) for row in listed["changes"]] == [("ADDED", "8", "C9300-24UX:FCW8")]
    assert not ProductInstance.objects.exists()
    applied = va_user.post(f"{path}/apply", {}).json()["exchange"]
    assert (applied["state"], ProductInstance.objects.count()) == ("APPLIED", 2)
    assert va_user.post(f"{path}/apply", {}).json()["exchange"]["id"] == applied["id"]
    again = va_user.post(f"/v1/accounts/acme.example/exchanges/{applied['id']}/apply", {})
    assert (again.status_code, again.json()["code"]) == (409, "NOT_COMPARED")


def test_a_call_that_is_not_proven_is_answered_without_detail(server: Server, now: datetime):
    data = server.synchronization(account(1, "Engineering", instance(7)))
    unknown = Server(uuid="11111111-1111-4111-8111-111111111111")
    refused = [
        call(unknown, data, now),
        call(server, data, now, key=server.tg_key),
        call(server, data, now, shift=301),
        call(server, data, now, shift=-301),
        call(server, data, now, **{"X-OnPrem-Signature": "x"}),
        call(server, data, now, **{"X-OnPrem-Timestamp": "soon"}),
        Client().post(f"/onprem/v1/{server.uuid}/synchronizations", data, content_type=YAML),
    ]
    assert [(answer.status_code, answer.content) for answer in refused] == [(401, b"")] * len(refused)
    assert not ProductInstance.objects.exists()


def test_a_proven_call_counts_once(server: Server, now: datetime):
    data = server.synchronization(account(1, "Engineering"))
    assert call(server, data, now).status_code == 200
    assert call(server, data, now).status_code == 401
    assert call(server, data, now, shift=-1).status_code == 401
    assert call(server, data, now, shift=1).status_code == 200


def test_a_proven_server_is_told_what_is_wrong_with_its_file(server: Server, now: datetime):
    answer = call(server, b"\x00", now)
    assert (answer.status_code, answer.json()["code"]) == (400, "MALFORMED")
    bad = server.synchronization(account(1, "Engineering"), more=":colour: blue\n")
    answer = call(server, bad, now, shift=1)
    assert (answer.status_code, answer.json()["errors"][0]["key"]) == (400, ":colour:")
