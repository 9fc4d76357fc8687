"""RSA keys checked in for the tests: generating them takes seconds. They protect nothing."""

from collections.abc import Iterator, Sequence
from functools import cache
from itertools import cycle
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

from pki.crypto import keys
from pki.states import KeyAlgorithm

FOLDER = Path(__file__).parent
EXPONENT = 65537


@cache
def load_keys(bits: int = 2048) -> tuple[rsa.RSAPrivateKey, ...]:
    """Twelve keys of 2048 bits, one of 4096."""
    loaded = [load_pem_private_key(path.read_bytes(), None) for path in sorted(FOLDER.glob(f"rsa{bits}-*.pem"))]
    return tuple(key for key in loaded if isinstance(key, rsa.RSAPrivateKey))


def make_distinct_keys() -> Iterator[rsa.RSAPrivateKey]:
    """Keys of 2048 bits of which no two are the same (nor one of the twelve), thousands a second instead of thirty.

    They share primes, so whoever has all of them can factor each: good for telling products apart only.
    """
    primes: list[int] = []
    for prime in _list_primes():
        yield from (_build_key(other, prime) for other in primes)
        primes.append(prime)


def _list_primes() -> Iterator[int]:
    yield from (key.private_numbers().p for key in load_keys())
    while True:
        numbers = rsa.generate_private_key(public_exponent=EXPONENT, key_size=2048).private_numbers()
        yield from (numbers.p, numbers.q)


def _build_key(p: int, q: int) -> rsa.RSAPrivateKey:
    d = rsa.rsa_recover_private_exponent(EXPONENT, p, q)
    return rsa.RSAPrivateNumbers(
        p=p,
        q=q,
        d=d,
        dmp1=rsa.rsa_crt_dmp1(d, p),
        dmq1=rsa.rsa_crt_dmq1(d, q),
        iqmp=rsa.rsa_crt_iqmp(p, q),
        public_numbers=rsa.RSAPublicNumbers(EXPONENT, p * q),
    ).private_key(unsafe_skip_rsa_key_validation=True)


def use_distinct_keys(monkeypatch: pytest.MonkeyPatch) -> Iterator[rsa.RSAPrivateKey]:
    """From here on the product's RSA keys of 2048 bits are such; they are taken from what is returned."""
    generate, supply = keys.generate_private_key, make_distinct_keys()

    def take(algorithm: KeyAlgorithm) -> bytes:
        if algorithm is not KeyAlgorithm.RSA_2048:
            return generate(algorithm)
        return next(supply).private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())

    monkeypatch.setattr(keys, "generate_private_key", take)
    return supply


def use_checked_in_keys(monkeypatch: pytest.MonkeyPatch, *, after: Sequence[KeyAlgorithm] = ()) -> list[KeyAlgorithm]:
    """From here on the product takes its RSA keys from this folder, over and over, instead of generating them.

    `after` are the keys that were taken before; the list returned tells, as it grows, which have been since.
    """
    generate = keys.generate_private_key
    supplies = {
        KeyAlgorithm.RSA_2048: cycle(load_keys(2048)),
        KeyAlgorithm.RSA_4096: cycle(load_keys(4096)),
    }
    taken: list[KeyAlgorithm] = []

    def take(algorithm: KeyAlgorithm) -> bytes:
        taken.append(algorithm)
        if algorithm not in supplies:
            return generate(algorithm)
        return next(supplies[algorithm]).private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())

    for algorithm in after:
        take(algorithm)
    monkeypatch.setattr(keys, "generate_private_key", take)
    return taken
