"""RSA keys whose private half can be found out from the public one."""

from math import gcd, isqrt, prod
from typing import Final

SMALLEST_EXPONENT: Final = 65537
LARGEST_EXPONENT: Final = 2**256 - 1
_FERMAT_ROUNDS: Final = 100


def _primes_below(limit: int) -> list[int]:
    return [n for n in range(2, limit) if all(n % d for d in range(2, isqrt(n) + 1))]


_SMALL_FACTORS: Final = prod(_primes_below(752))
_ROCA_RESIDUES: Final = {
    p: frozenset(pow(65537, exponent, p) for exponent in range(p - 1)) for p in _primes_below(168) if p > 2
}


def find_weakness(modulus: int, exponent: int) -> str | None:
    """Why this RSA key is not safe, or None. Sources: CA/Browser Forum BR 6.1.1.3, CVE-2017-15361, CVE-2022-26320."""
    if exponent % 2 == 0 or not SMALLEST_EXPONENT <= exponent <= LARGEST_EXPONENT:
        return f"its public exponent must be odd and at least {SMALLEST_EXPONENT}"
    if gcd(modulus, _SMALL_FACTORS) != 1:
        return "its modulus has a small factor"
    if all(modulus % p in residues for p, residues in _ROCA_RESIDUES.items()):
        return "it comes from a generator with a known flaw (ROCA, CVE-2017-15361)"
    if _has_close_primes(modulus):
        return "its primes are too close together (CVE-2022-26320)"
    return None


def _has_close_primes(modulus: int) -> bool:
    """Fermat's factorization, a few rounds: a² − n is a square where n = (a − b)(a + b) with small b."""
    a = isqrt(modulus)
    if a * a < modulus:
        a += 1
    remainder = a * a - modulus
    for _ in range(_FERMAT_ROUNDS):
        # The last byte of a square takes 44 values of 256; the root is only taken where it can be one.
        if (remainder & 0xFF) in _SQUARE_ENDINGS and isqrt(remainder) ** 2 == remainder:
            return True
        remainder += 2 * a + 1
        a += 1
    return False


_SQUARE_ENDINGS: Final = frozenset(n * n & 0xFF for n in range(256))
