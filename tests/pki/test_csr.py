import pytest
from hypothesis import given
from hypothesis import strategies as st

from pki.crypto.csr import MAX_PEM_LENGTH, parse_csr
from pki.errors import CsrInvalid
from tests.keys import load_keys
from tests.pki.tools import read_csr, spki_of

GOOD = read_csr("good")


def test_a_good_request_gives_its_key_and_name() -> None:
    parsed = parse_csr(GOOD)
    assert parsed.common_name == "C9300-24UX:FCW2134L0RN"
    assert parsed.key_bits == 2048
    assert parsed.spki_der == spki_of(load_keys()[0])


@pytest.mark.parametrize("pem", [GOOD.replace("\n", "\r\n"), "\n" + GOOD + "\n \n", GOOD.rstrip("\n")])
def test_line_ends_and_blank_lines_do_not_matter(pem: str) -> None:
    assert parse_csr(pem) == parse_csr(GOOD)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("md5", "RSA \\(PKCS #1 v1.5\\) and SHA-256"),
        ("sha1", "SHA-256"),
        ("sha512", "SHA-256"),
        ("pss", "PKCS #1 v1.5"),
        ("ec", "SHA-256"),
        ("rsa1024", "2048 to 8192 bits, not 1024"),
        ("exponent3", "public exponent must be odd and at least 65537"),
        ("roca", "ROCA"),
        ("close-primes", "primes are too close"),
        ("small-factor", "small factor"),
        ("authority", "CA:TRUE"),
        ("cert-signing", "right to sign certificates"),
        ("no-name", "exactly one common name"),
        ("two-names", "exactly one common name"),
    ],
)
def test_a_weak_or_evil_request_is_refused_with_the_reason(name: str, reason: str) -> None:
    with pytest.raises(CsrInvalid, match=reason) as refusal:
        parse_csr(read_csr(name))
    assert refusal.value.code == "CSR_INVALID"


def test_a_request_whose_signature_is_by_another_key_is_refused() -> None:
    lines = GOOD.strip().split("\n")
    lines[-3] = ("A" if lines[-3][5] != "A" else "B").join((lines[-3][:5], lines[-3][6:]))
    with pytest.raises(CsrInvalid, match="signature is not by the key"):
        parse_csr("\n".join(lines))


@pytest.mark.parametrize(
    "pem",
    [
        "",
        "hello",
        GOOD + GOOD,
        GOOD.replace("REQUEST", "REQUESTS"),
        GOOD.replace("CERTIFICATE REQUEST", "CERTIFICATE"),
        GOOD.replace("\nMII", "\n\0MII"),
        "\0" + GOOD,
        GOOD + "\0",
        GOOD + "trailing",
        "Subject: x\n" + GOOD,
        GOOD.replace("\nMII", "\nMI\u0130"),
        "-----BEGIN CERTIFICATE REQUEST-----\n\n-----END CERTIFICATE REQUEST-----",
        "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----",
    ],
)
def test_what_is_not_exactly_one_pem_request_is_refused(pem: str) -> None:
    with pytest.raises(CsrInvalid, match="PEM"):
        parse_csr(pem)


def test_an_oversize_request_is_refused_before_it_is_read() -> None:
    with pytest.raises(CsrInvalid, match="longer than"):
        parse_csr(GOOD + " " * MAX_PEM_LENGTH)


@given(position=st.integers(min_value=40, max_value=len(GOOD) - 40), letter=st.sampled_from("ABCxyz019+/=\0é\n"))
def test_a_changed_character_is_refused_or_changes_nothing(position: int, letter: str) -> None:
    changed = GOOD[:position] + letter + GOOD[position + 1 :]
    try:
        parsed = parse_csr(changed)
    except CsrInvalid:
        return
    assert parsed == parse_csr(GOOD)
