"""The files of an on-prem server, byte for byte, and what their signatures cover."""

import gzip
import subprocess
import tracemalloc
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from agents.common.keys import fingerprint
from agents.onprem.documents.envelope import open_document, write_document
from agents.onprem.documents.reader import Reader
from agents.onprem.documents.requests import Account, Instance, License, RegistrationRequest, SynchronizationRequest
from agents.onprem.documents.responses import read_synchronization
from agents.onprem.documents.writer import encode, quote
from agents.onprem.errors import FileRefused
from agents.onprem.server import Phase
from agents.onprem.synchronization import request_sync
from tests.agents.certificates import NOW, dump, issue, key
from tests.agents.conftest import TAG
from tests.agents.onprem.conftest import Plant
from tests.agents.onprem.portal import FakePortal, cut, read_file, seal
from tests.programs import need_program

GOLDEN = Path(__file__).parent.parent.parent / "formats"


def openssl_accepts(folder: Path, file: bytes, certificate: x509.Certificate | None = None) -> bool:
    """Cut a file as its description says, and verify it with nothing but OpenSSL."""
    need_program("openssl")
    _, trailer = read_file(file)
    (folder / "content").write_bytes(cut(file))
    decode = ["openssl", "base64", "-d", "-A"]
    signature = subprocess.run(decode, input=trailer["signature"].encode(), capture_output=True, check=True).stdout
    (folder / "signature").write_bytes(signature)
    if certificate is None:
        pem = subprocess.run(decode, input=trailer["signing_cert"].encode(), capture_output=True, check=True).stdout
        certificate = x509.load_pem_x509_certificate(pem)
    public = certificate.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (folder / "key.pem").write_bytes(public)
    command = ["openssl", "dgst", "-sha256", "-verify", str(folder / "key.pem")]
    done = subprocess.run(
        [*command, "-signature", str(folder / "signature"), str(folder / "content")], capture_output=True, check=False
    )
    return done.returncode == 0


def test_the_registration_file_is_this_one_byte_for_byte(plant: Plant) -> None:
    written = plant.request_registration()
    assert written == (GOLDEN / "onprem_registration_request.yaml").read_bytes()
    assert plant.status["phase"] == Phase.REQUESTED


def test_the_registration_file_holds_what_table_1_names(plant: Plant) -> None:
    content, trailer = read_file(plant.request_registration(hosts=["lic.example", "10.1.2.3"]))
    assert list(content) == [
        "format", "type", "satellite_name", "instance_id", "exported_timestamp", "lcs_csr", "tg_csr", "ssms_csr",
    ]  # fmt: skip
    assert content["format"] == "cssm-onprem/1"
    assert trailer["signing_cert"] == ""
    requests = [x509.load_pem_x509_csr(content[name].encode()) for name in ("lcs_csr", "tg_csr", "ssms_csr")]
    assert all(request.is_signature_valid for request in requests)
    names = requests[1].extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["lic.example"]
    assert [str(address) for address in names.get_values_for_type(x509.IPAddress)] == ["10.1.2.3"]


def test_openssl_verifies_the_registration_file_with_the_key_of_its_csr(plant: Plant, tmp_path: Path) -> None:
    file = plant.request_registration()
    csr = x509.load_pem_x509_csr(read_file(file)[0]["lcs_csr"].encode())
    holder = issue("x", csr.public_key(), plant.portal.sub_ca)  # type: ignore[arg-type]
    assert openssl_accepts(tmp_path, file, holder)
    assert not openssl_accepts(tmp_path, file.replace(b"Plant 1", b"Plant 2"), holder)


def test_a_synchronization_request_is_this_one_byte_for_byte(tmp_path: Path) -> None:
    license = License(id=7, tag=TAG, quantity=3)
    told = {"hostname": "edge-1", "ip_address": "10.0.0.1", "mac_address": "00:11:22:33:44:55", "ha_group": "ha-1"}
    known = {"software_tag": "regid.2017-05.com.example.C9300", "udi_pid": "C9300-24UX", "is_active": True}
    instances = [
        Instance(id=1, udi_serial_number="FCW1", registered_at="2026-03-02T09:30:00.000Z", licenses=[license],
                 **known, **told),
        Instance(id=2, udi_serial_number='Na"me\\\u2028:', **(known | {"is_active": False})),
    ]  # fmt: skip
    request = SynchronizationRequest(
        id_cert="-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        signing_cert="-----BEGIN CERTIFICATE-----\nBBBB\n-----END CERTIFICATE-----\n",
        collector_id="0b6b8ad3-1f0c-4f7e-9a1e-5f2d3c4b5a69",
        last_sync="2026-03-01T00:00:00Z",
        last_generated="2026-03-02T09:30:00.000Z",
        accounts=[
            Account(id=1, name="Engineering", instances=instances),
            Account(id=2, name="Überall & nirgends", instances=[]),
        ],
    )
    path = tmp_path / "request.yaml"
    write_document(path, encode(request.parts()), key=key(6), signing_cert="PEM\n")

    assert path.read_bytes() == (GOLDEN / "onprem_synchronization_request.yaml").read_bytes()
    read = read_file(path.read_bytes())[0]["virtual_accounts"]
    assert read[0]["product_instances"][1]["udi_serial_number"] == 'Na"me\\\u2028:'
    assert read[1] == {"id": 2, "name": "Überall & nirgends", "product_instances": []}


@pytest.mark.parametrize(
    "text",
    ["", "plain", 'q"uote', "back\\slash", "line\nbreak", "tab\t", "\x00\x1f", "\x7f\x85\xa0", "\u2028\ufeff", "null",
     "no", "0o17", "12:30:45", "😀", "#: - ---", "Ü", "e\u0301"],
)  # fmt: skip
def test_quoted_text_reads_back_as_it_was(text: str) -> None:
    content = f":a: {quote(text)}\n".encode()
    assert read_file(content + b"---\n:b: 1\n")[0] == {"a": text}


def test_the_server_s_own_files_are_signed_with_its_id_certificate(registered_plant: Plant, tmp_path: Path) -> None:
    plant = registered_plant
    plant.register("FCW0000001").agent.authorize({TAG: 2})
    file = plant.request_sync()

    content, trailer = read_file(file)
    assert openssl_accepts(tmp_path, file)
    assert trailer["signing_cert"]
    assert content["id_cert"] == plant.server.certificates["id_cert"]
    certificate = x509.load_pem_x509_certificate(content["id_cert"].encode())
    assert fingerprint(certificate.public_key()) == fingerprint(key(6).public_key())  # type: ignore[arg-type]
    assert not openssl_accepts(tmp_path, file.replace(b":consumed_quantity: 2", b":consumed_quantity: 1"))


def test_a_packed_file_holds_the_same(registered_plant: Plant, tmp_path: Path) -> None:
    packed = tmp_path / "request.yaml.gz"
    request_sync(registered_plant.site, full=False, output=packed)
    plain = gzip.decompress(packed.read_bytes())
    assert openssl_accepts(tmp_path, plain)
    opened = open_document(packed, tmp_path)
    assert opened.path.read_bytes() == plain


def test_a_hundred_thousand_instances_are_written_in_little_memory(tmp_path: Path) -> None:
    def instances(count: int):
        for number in range(count):
            yield Instance(
                id=number, is_active=True, software_tag="s", udi_pid="P", udi_serial_number=f"SN{number}",
                licenses=[License(id=number * 3 + part, tag=TAG, quantity=1) for part in range(3)],
            )  # fmt: skip

    def peak(count: int) -> int:
        request = SynchronizationRequest(
            id_cert="x\n", signing_cert="y\n", collector_id="c", last_sync=None, last_generated="g",
            accounts=[Account(id=1, name="E", instances=instances(count))],
        )  # fmt: skip
        tracemalloc.reset_peak()
        before = tracemalloc.get_traced_memory()[0]
        write_document(tmp_path / "large.yaml", encode(request.parts()), key=key(6))
        return tracemalloc.get_traced_memory()[1] - before

    tracemalloc.start()
    try:
        small, large = peak(1_000), peak(6_000)
    finally:
        tracemalloc.stop()
    assert (tmp_path / "large.yaml").stat().st_size > 2_500_000
    assert large < small * 1.2 < 2_000_000


def response(portal: FakePortal, plant: Plant) -> bytes:
    """A right one, for a server that has written one request."""
    plant.install_authorization(portal.authorize(plant.request_registration()))
    plant.clock.advance(minutes=1)
    return cut(portal.respond(plant.request_sync()))


LAST_LINE = b"      :subscription_id: null\n"
FORBIDDEN: dict[str, tuple[bytes, bytes, str]] = {
    "a tag": (b":collector_instance_id: ", b":collector_instance_id: !!str ", "FORBIDDEN_YAML"),
    "a python tag": (b":satellite_name: ", b":satellite_name: !!python/object:os.system ", "FORBIDDEN_YAML"),
    "an anchor": (b":satellite_name: ", b":satellite_name: &a ", "FORBIDDEN_YAML"),
    "an alias": (b':satellite_name: "Plant 1"', b":satellite_name: *a", "FORBIDDEN_YAML"),
    "a merge key": (b":satellite_name: ", b"<<: ", "FORBIDDEN_YAML"),
    "a flow mapping": (b':satellite_name: "Plant 1"', b":satellite_name: {a: 1}", "WRONG_TYPE"),
    "a flow list": (b"  :virtual_accounts:\n", b"  :marked: [{:a: b}]\n  :virtual_accounts:\n", "FORBIDDEN_YAML"),
    "a quoted key": (b":satellite_name:", b'":satellite_name":', "FORBIDDEN_YAML"),
    "a key twice": (b":satellite_name:", b":collector_instance_id:", "DUPLICATE"),
    "an unknown key": (b":satellite_name:", b":satellite_nmae:", "UNKNOWN_KEY"),
    "a missing key": (b':satellite_name: "Plant 1"\n', b"", "MISSING_KEY"),
    "text for a number": (b":purchased_quantity: 10", b':purchased_quantity: "10"', "WRONG_TYPE"),
    "an octal number": (b":purchased_quantity: 10", b":purchased_quantity: 010", "WRONG_TYPE"),
    "a base 60 number": (b":purchased_quantity: 10", b":purchased_quantity: 1:10", "WRONG_TYPE"),
    "not a number": (b":purchased_quantity: 10", b":purchased_quantity: .nan", "WRONG_TYPE"),
    "a negative number": (b":purchased_quantity: 10", b":purchased_quantity: -1", "WRONG_TYPE"),
    "null for text": (b':satellite_name: "Plant 1"', b":satellite_name: null", "WRONG_TYPE"),
    "a boolean for text": (b':satellite_name: "Plant 1"', b":satellite_name: no", "WRONG_TYPE"),
    "no time": (b":last-sync: ", b":last-sync: 1", "WRONG_TYPE"),
    "another format": (b"cssm-onprem/1", b"cssm-onprem/2", "UNSUPPORTED_FORMAT"),
    "another type": (b"synchronization_response", b"authorization_response", "UNSUPPORTED_FORMAT"),
    "a byte order mark": (b":format:", b"\xef\xbb\xbf:format:", "UNSUPPORTED_FORMAT"),
    "NUL": (b"Plant 1", b"Plant\x001", "MALFORMED"),
    "carriage returns": (b"\n", b"\r\n", "MALFORMED"),
    "another document": (LAST_LINE, LAST_LINE + b"---\n:more: 1\n", "FORBIDDEN_YAML"),
    "the end of the document": (LAST_LINE, LAST_LINE + b"...\n", "FORBIDDEN_YAML"),
    "a scalar of 100 kB": (b"Plant 1", b"x" * 100_000, "TOO_LARGE"),
    "a scalar of 5 MB": (b"Plant 1", b"x" * 5_000_000, "TOO_LARGE"),
    "100,000 levels": (
        b":satellite_name:",
        b":extensions: " + b"[" * 100_000 + b"\n:satellite_name:",
        "FORBIDDEN_YAML",
    ),
    "20 levels": (
        b":satellite_name:",
        b":extensions:\n" + b"".join(b" " * level + b"a:\n" for level in range(1, 20)) + b":satellite_name:",
        "OUT_OF_RANGE",
    ),
}


@pytest.mark.parametrize("case", FORBIDDEN)
def test_what_a_file_may_not_hold_is_refused_with_its_place(
    plant: Plant, portal: FakePortal, tmp_path: Path, case: str
) -> None:
    old, new, code = FORBIDDEN[case]
    content = response(portal, plant)
    count = -1 if case == "carriage returns" else 1
    path = tmp_path / "spoilt"
    path.write_bytes(content.replace(old, new, count))
    assert path.read_bytes() != content
    with pytest.raises(FileRefused) as refusal, path.open("rb") as file:
        read_synchronization(Reader(file, path.stat().st_size), lambda _: None, lambda _: None)
    assert refusal.value.code == code


def test_extensions_may_hold_anything(plant: Plant, portal: FakePortal) -> None:
    plant.install_authorization(portal.authorize(plant.request_registration()))
    plant.clock.advance(minutes=1)
    file = portal.respond(plant.request_sync(), extensions="\n  x:\n  - y: 1\n    z: []\n  w: text")
    assert plant.install_sync(file)["installed"]


TRAILERS: dict[str, bytes] = {
    "removed": b"",
    "without a signature": b'---\n:signing_cert: ""\n',
    "with a third line": b'---\n:signing_cert: ""\n:signature: "AAAA"\n:more: 1\n',
    "in single quotes": b"---\n:signing_cert: ''\n:signature: 'AAAA'\n",
    "with other line ends": b'---\r\n:signing_cert: ""\r\n:signature: "AAAA"\r\n',
}


@pytest.mark.parametrize("case", TRAILERS)
def test_a_file_without_its_last_lines_is_not_read(tmp_path: Path, case: str) -> None:
    (tmp_path / "file").write_bytes(b":format: cssm-onprem/1\n" + TRAILERS[case])
    with pytest.raises(FileRefused) as refusal:
        open_document(tmp_path / "file", tmp_path)
    assert refusal.value.code == "SIGNATURE_INVALID"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_damaged_archive_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(gzip.compress(b"x" * 100_000)[:-9])
    with pytest.raises(FileRefused, match="breaks off"):
        open_document(tmp_path / "file", tmp_path)


def test_registration_parts_come_in_this_order() -> None:
    request = RegistrationRequest(
        satellite_name="A", instance_id="B", exported="C", lcs_csr="D\n", tg_csr="E\n", ssms_csr="F\n"
    )
    text = "".join(request.parts())
    assert text.startswith(":format: cssm-onprem/1\n:type: registration_request\n")
    sealed = seal(text.encode(), key(6), dump(issue("x", key(6).public_key(), FakePortal(lambda: NOW).sub_ca)))
    assert cut(sealed) == text.encode()
