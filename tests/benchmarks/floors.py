"""What one core of this machine can do at best."""

import time
from collections.abc import Callable

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from tests.benchmarks.report import Row


def per_second(work: Callable[[], object], *, seconds: float = 2.0) -> float:
    begun, done = time.perf_counter(), 0
    while time.perf_counter() - begun < seconds:
        work()
        done += 1
    return done / (time.perf_counter() - begun)


def measure() -> list[Row]:
    """RSA-2048 verify + sign (one authorization needs both), and key generation (one registration needs one)."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    message = b"x" * 900
    signature = key.sign(message, padding.PKCS1v15(), hashes.SHA256())

    def verify_and_sign() -> None:
        key.public_key().verify(signature, message, padding.PKCS1v15(), hashes.SHA256())
        key.sign(message, padding.PKCS1v15(), hashes.SHA256())

    generate = per_second(lambda: rsa.generate_private_key(public_exponent=65537, key_size=2048), seconds=3)
    return [
        Row("floor: RSA-2048 verify + sign, one core", per_second(verify_and_sign), "1/s"),
        Row("floor: RSA-2048 key generation, one core", generate, "1/s"),
    ]
