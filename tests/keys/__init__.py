"""RSA keys checked in for the tests: generating them takes seconds. They protect nothing."""

from collections.abc import Sequence
from functools import cache
from itertools import cycle
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

from pki.crypto import keys
from pki.states import KeyAlgorithm

FOLDER = Path(__file__).parent


@cache
def load_keys(bits: int = 2048) -> tuple[rsa.RSAPrivateKey, ...]:
    """Twelve keys of 2048 bits, one of 4096."""
    loaded = [load_pem_private_key(path.read_bytes(), None) for path in sorted(FOLDER.glob(f"rsa{bits}-*.pem"))]
    return tuple(key for key in loaded if isinstance(key, rsa.RSAPrivateKey))


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
