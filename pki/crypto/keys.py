"""Private and public keys as bytes: PKCS#8 DER and SubjectPublicKeyInfo DER."""

from typing import Final

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from pki.states import KeyAlgorithm

PUBLIC_EXPONENT: Final = 65537
_RSA_BITS: Final = {KeyAlgorithm.RSA_2048: 2048, KeyAlgorithm.RSA_4096: 4096}

SigningKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
PublicKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey


def generate_private_key(algorithm: KeyAlgorithm) -> bytes:
    """A new private key as PKCS#8 DER. RSA-2048 takes about 30 ms, so never inside a transaction."""
    key: SigningKey
    if algorithm is KeyAlgorithm.P_256:
        key = ec.generate_private_key(ec.SECP256R1())
    else:
        key = rsa.generate_private_key(public_exponent=PUBLIC_EXPONENT, key_size=_RSA_BITS[algorithm])
    return key.private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def load_private_key(pkcs8_der: bytes) -> SigningKey:
    """A key that we wrote, its bytes authenticated: checking its arithmetic anew would cost 27 ms each time."""
    key = serialization.load_der_private_key(pkcs8_der, None, unsafe_skip_rsa_key_validation=True)
    if not isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey):
        raise TypeError(f"unexpected kind of private key: {type(key).__name__}")
    return key


def extract_public_key(pkcs8_der: bytes) -> bytes:
    """The SubjectPublicKeyInfo DER of a private key."""
    return encode_public_key(load_private_key(pkcs8_der).public_key())


def encode_public_key(key: PublicKey) -> bytes:
    return key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def load_public_key(spki_der: bytes) -> PublicKey:
    """Raises ValueError for anything but an RSA or P-256 key."""
    key = serialization.load_der_public_key(spki_der)
    if isinstance(key, rsa.RSAPublicKey):
        return key
    if isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1):
        return key
    raise ValueError("neither an RSA nor a P-256 key")


def describe_public_key(spki_der: bytes) -> tuple[str, int]:
    """`("rsa", 2048)`, `("ec", 256)`."""
    key = load_public_key(spki_der)
    return ("rsa" if isinstance(key, rsa.RSAPublicKey) else "ec", key.key_size)
