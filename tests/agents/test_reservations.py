"""A product that reserves: what it takes, and everything that it refuses."""

import base64
import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.x509.oid import ExtendedKeyUsageOID

from agents.smart_agent.cli import main
from agents.smart_agent.client import SmartAgent
from agents.smart_agent.errors import UsageError, VerificationFailed
from agents.smart_agent.reservation_codes import (
    ALPHABET,
    Authorization,
    make_confirmation_code,
    make_request_code,
    make_return_code,
)
from tests.agents.certificates import Authority, dump, issue, key
from tests.agents.conftest import PRODUCT, Clock, Device
from tests.agents.fake_server import FakeServer
from tests.formats import read_golden

PIID = "6ca07f56-145c-4ace-bdc2-40417fd49d47"
UDI = "P:C9300-24UX,S:FCW2134L0RN"
TAG = "regid.2017-03.com.example.advantagek9,1.0_bd1da96e-ec1d-412b-a50e-53846b347d53"
SIGNER = ec.generate_private_key(ec.SECP256R1())


def certify(issuer: Authority, public_key, **shape) -> str:
    """A certificate as the one that signs reservations has it, unless told otherwise."""
    return dump(issue("Reservation Signing", public_key, issuer, **{"days": 3650} | shape))


def body_of(*, piid=PIID, timestamp=1000, count=5) -> str:
    entitlement = (
        f"<entitlement><tag>{TAG}</tag><count>{count}</count><startDate></startDate><endDate></endDate>"
        "<licenseType>PERPETUAL</licenseType><displayName>Router</displayName>"
        "<tagDescription>R &amp; D</tagDescription><subscriptionID></subscriptionID></entitlement>"
    )
    return (
        f"<authorizationCode><flag>A</flag><version>C</version><piid>{piid}</piid><timestamp>{timestamp}</timestamp>"
        f"<entitlements>{entitlement}</entitlements></authorizationCode>"
    )


def authorize(*, udi=UDI, signer=SIGNER, **content) -> str:
    body, product = body_of(**content), f"<udi>{udi}</udi>"
    signature = base64.b64encode(signer.sign((body + product).encode(), ec.ECDSA(hashes.SHA256()))).decode()
    return f"<specificPLR>{body}<signature>{signature}</signature>{product}</specificPLR>"


def universal(*, udi=UDI, piid=PIID, timestamp=1000, signer=SIGNER) -> str:
    der = signer.sign(f"{piid}|{udi}|{timestamp}".encode(), ec.ECDSA(hashes.SHA256()))
    r, s = decode_dss_signature(der)
    data = bytes.fromhex(piid.replace("-", "")) + timestamp.to_bytes(6, "big") + r.to_bytes(32, "big")
    number, digits = int.from_bytes(data + s.to_bytes(32, "big"), "big"), ""
    for _ in range(118):
        number, digit = divmod(number, 58)
        digits = ALPHABET[digit] + digits
    code = "D" + digits
    return "-".join(code[start : start + 6] for start in range(0, len(code), 6))


@pytest.fixture
def signer(server: FakeServer) -> str:
    return certify(server.root, SIGNER.public_key())


@pytest.fixture
def requested(device: Device, server: FakeServer, signer: str) -> Device:
    device.agent.reservations.request(product=PRODUCT, root=server.root.pem, signer=signer)
    return device


def install(device: Device, text: str):
    return device.agent.reservations.install(text.encode())


def test_a_request_code_is_as_agreed_and_stays_until_something_is_installed(device, server, signer):
    first = device.agent.reservations.request(product=PRODUCT, root=server.root.pem, signer=signer)
    assert first["request_code"].startswith("CA-ZC9300-24UX:FCW2134L0RN-A")
    assert device.agent.reservations.request(product=None, root="", signer="")["request_code"] == first["request_code"]


def test_an_authorization_is_installed_and_confirmed(requested):
    outcome = install(requested, authorize() + "\n")
    assert requested.states == ("UNREGISTERED", "RESERVED")
    assert outcome["reservation"]["entitlements"][0]["count"] == 5
    assert outcome["reservation"]["product_instance_identifier"] == PIID
    assert 8 <= len(outcome["confirmation_code"]) <= 11


def test_the_codes_are_those_of_the_format():
    """The golden files are also what the server is held to."""
    golden = read_golden("return_and_confirmation_codes.txt").splitlines()
    for kind, line in (("C", golden[0]), ("D", golden[1])):
        installed = Authorization(
            kind=kind, piid=PIID, timestamp=1772443800123, signature=b"der".hex(), entitlements=[]
        )
        assert make_return_code(installed) == line
        assert make_confirmation_code(udi=UDI, sequence="B", authorization=installed) == golden[2]
    software = "regid.2017-05.com.cisco.C9300,v1_727af1d9-6c39-4444-b301-863f81445b72"
    code = make_request_code(kind="C", sequence="B", pid="C9300-24UX", serial="FCW2134L0RN", software_tag=software)
    assert code == read_golden("request_code.txt")


def test_a_newer_one_replaces_it_an_older_one_does_not(requested):
    install(requested, authorize(timestamp=1000))
    install(requested, authorize(timestamp=2000, count=7))
    for timestamp in (1000, 2000):
        with pytest.raises(VerificationFailed, match="not newer"):
            install(requested, authorize(timestamp=timestamp))
    assert requested.agent.status()["reservation"]["entitlements"][0]["count"] == 7


def test_what_was_returned_is_not_installed_again(requested):
    text = authorize()
    install(requested, text)
    code = requested.agent.reservations.give_back()["return_code"]
    assert requested.agent.reservations.give_back()["return_code"] == code
    assert requested.states == ("UNREGISTERED", "NONE")
    again = requested.agent.reservations.request(product=None, root="", signer="")["request_code"]
    assert again.startswith("CB-Z")
    with pytest.raises(VerificationFailed, match="not newer"):
        install(requested, text)
    install(requested, authorize(piid=PIID.replace("6", "7"), timestamp=3000))


OTHER = ec.generate_private_key(ec.SECP256R1())


@pytest.mark.parametrize(
    "attack",
    [
        lambda t: t.replace(t[t.index("<signature>") : t.index("</signature>") + 12], ""),
        lambda t: t.replace(t[t.index("<signature>") + 11 : t.index("</signature>")], ""),
        lambda t: t.replace("<count>5", "<count>9"),
        lambda t: t.replace("<count>5", "<count><!-- 9 -->5"),
        lambda t: t.replace("<count>5</count>", "<count>5<!----></count>"),
        lambda t: t.replace(UDI, "P:C9300-24UX,S:OTHER"),
        lambda t: t.replace("FCW2134L0RN</udi>", "FCW2134L0RN<!-- --></udi>"),
        lambda t: f"<wrapped>{t}</wrapped>",
        lambda t: t.replace("</specificPLR>", body_of(count=99) + "</specificPLR>"),
        lambda t: t.replace("<specificPLR>", f"<specificPLR>{body_of(count=99)}"),
        lambda t: t.replace("<entitlements>", f"<entitlements>{body_of(count=99)}"),
        lambda t: t.replace("</specificPLR>", f"<udi>{UDI}</udi></specificPLR>"),
        lambda t: t + t,
        lambda t: f'<?xml version="1.0"?>{t}',
        lambda t: f'<!DOCTYPE x [<!ENTITY c "9">]>{t}'.replace("<count>5", "<count>&c;"),
        lambda t: t.replace("<flag>A</flag>", "<flag>A</flag> "),
        lambda t: t.replace("<flag>", "<flag x='1'>"),
        lambda t: t.replace("</timestamp>", "</timestamp><timestamp>9</timestamp>"),
        lambda t: authorize(signer=OTHER),
        lambda t: authorize(udi="P:C9300-24UX,S:OTHER"),
        lambda t: authorize(udi=f"{UDI},U:another"),
        lambda t: universal(),
        lambda t: "x" * 1_000_001,
        lambda t: "",
        lambda t: t.replace("PERPETUAL", "FOREVER"),
        lambda t: t.upper(),
    ],
)
def test_whatever_is_done_to_an_authorization_it_is_refused(requested, attack):
    before = requested.store.read()
    with pytest.raises(VerificationFailed):
        install(requested, attack(authorize()))
    assert requested.store.read() == before


def test_every_byte_of_the_authorization_counts(requested):
    text = authorize()
    step = max(1, len(text) // 150)
    for position in range(0, len(text), step):
        spoiled = text[:position] + chr(ord(text[position]) ^ 1) + text[position + 1 :]
        with pytest.raises(VerificationFailed):
            install(requested, spoiled)
    assert install(requested, text)


def test_an_authorization_of_another_reservation_needs_the_present_one_returned(requested):
    install(requested, authorize())
    with pytest.raises(VerificationFailed, match="another reservation"):
        install(requested, authorize(piid=PIID.replace("6", "7"), timestamp=2000))


def test_a_universal_reservation(device, server, signer):
    device.agent.reservations.request(product=PRODUCT, root=server.root.pem, signer=signer, universal=True)
    for refused in (universal(udi="P:A,S:B"), universal(signer=OTHER), authorize(), universal()[:-1], "D"):
        with pytest.raises(VerificationFailed):
            install(device, refused)
    install(device, f" {universal()}\n")
    assert device.states == ("UNREGISTERED", "RESERVED")
    assert device.agent.reservations.give_back()["return_code"].startswith("D")


@pytest.mark.parametrize("fault", ["authority", "purpose", "usage", "rsa", "foreign", "expired"])
def test_only_the_certificate_that_signs_reservations_is_trusted(device, server, clock: Clock, fault):
    pem = {
        "authority": lambda: certify(server.root, SIGNER.public_key(), authority=True),
        "purpose": lambda: certify(server.root, SIGNER.public_key(), purposes=(ExtendedKeyUsageOID.CLIENT_AUTH,)),
        "usage": lambda: certify(server.root, SIGNER.public_key(), may_sign_messages=False),
        "rsa": lambda: certify(server.root, key(5).public_key()),
        "foreign": lambda: certify(server.sub_ca, SIGNER.public_key()),
        "expired": lambda: certify(server.root, SIGNER.public_key(), days=100),
    }[fault]()
    if fault == "expired":
        clock.advance(days=101)
    with pytest.raises(VerificationFailed):
        device.agent.reservations.request(product=PRODUCT, root=server.root.pem, signer=pem)


def test_it_is_either_registered_or_reserved(registered, server, signer):
    with pytest.raises(UsageError, match="Deregister"):
        registered.agent.reservations.request(product=None, root="", signer=signer)
    registered.agent.deregister()
    registered.agent.reservations.request(product=None, root=server.root.pem, signer=signer)
    install(registered, authorize())
    with pytest.raises(UsageError, match="Return it first"):
        registered.register()


def test_the_evaluation_stands_still_while_reserved(requested, clock: Clock):
    requested.agent.authorize({TAG: 1})
    clock.advance(days=10)
    install(requested, authorize())
    left = requested.agent.status()["evaluation_seconds_left"]
    clock.advance(days=10)
    assert requested.agent.status()["evaluation_seconds_left"] == left


def test_nothing_is_installed_or_returned_that_was_not_requested(device):
    with pytest.raises(UsageError, match="request code"):
        install(device, authorize())
    with pytest.raises(UsageError, match="no reservation"):
        device.agent.reservations.give_back()


def test_the_program(tmp_path: Path, server: FakeServer, signer: str, clock: Clock, capsys):
    (tmp_path / "root.pem").write_text(server.root.pem)
    (tmp_path / "signer.pem").write_text(signer)
    (tmp_path / "AC.xml").write_text(authorize())

    def run(*arguments: str) -> tuple[int, str]:
        where = ["--state", str(tmp_path / "state")]
        code = main([*arguments, *where], lambda store: SmartAgent(store, clock=clock))
        captured = capsys.readouterr()
        return code, captured.out + captured.err

    trust = ["--trust", str(tmp_path / "root.pem"), "--signer", str(tmp_path / "signer.pem")]
    assert run("reserve-request")[0] == 2
    assert run("reserve-request", "--pid", "C9300-24UX", *trust)[0] == 2
    code, said = run("reserve-request", "--pid", "C9300-24UX", "--sn", "FCW2134L0RN", *trust)
    assert (code, "CA-ZC9300-24UX:FCW2134L0RN-A" in said) == (0, True)
    assert run("reserve-install", str(tmp_path / "missing"))[0] == 2
    assert "Confirmation code" in run("reserve-install", str(tmp_path / "AC.xml"))[1]
    assert f"RESERVED ({TAG}=5)" in run("status")[1]
    assert json.loads(run("status", "--json")[1])["reservation"]["type"] == "SPECIFIC"
    assert run("reserve-return")[1].startswith("Return code, to be entered in the portal: C")
