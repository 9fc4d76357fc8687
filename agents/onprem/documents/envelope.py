"""The outer form of a file: a content, a line `---`, and two lines with the signer's certificate and the signature.

The signature (RSASSA-PKCS1-v1_5, SHA-256) covers every byte before the last `---` line. Nothing of a content is looked
at before its signature holds; whether its signer may be believed is decided by whoever reads the content.
"""

import base64
import binascii
import gzip
import hashlib
import os
import re
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa

from agents.common.errors import VerificationFailed
from agents.common.files import TEMPORARY, sync_folder
from agents.common.signatures import sign_digest, verify_digest
from agents.common.trust import load_certificate, read_rsa_key
from agents.onprem.errors import FileRefused

MAX_FILE: Final = 1024 * 1024 * 1024
CHUNK: Final = 256 * 1024
MAX_TRAILER: Final = 64 * 1024
GZIP_MAGIC: Final = b"\x1f\x8b"

_TRAILER: Final = re.compile(
    rb'(?:\A|(?<=\n))---\n:signing_cert: "([A-Za-z0-9+/=]*)"\n:signature: "([A-Za-z0-9+/=]+)"\n?\Z'
)


@dataclass(frozen=True, slots=True)
class Opened:
    """A file whose signature holds. `length` is the content's, in bytes; `digest` names the content (hex SHA-256)."""

    path: Path
    length: int
    digest: str
    signing_cert: str
    certificate: x509.Certificate


def write_document(
    path: Path,
    parts: Iterable[bytes],
    *,
    key: rsa.RSAPrivateKey,
    signing_cert: str = "",
    remember: Callable[[str], object] = lambda digest: None,
) -> str:
    """Write a signed file (0600), gzipped where the name ends in `.gz`; returns the hex SHA-256 of its content.

    It stands under a temporary name until it is whole and durable and `remember` has been told the digest, so that
    nobody can carry away a file that was not remembered. `signing_cert` is PEM, or empty where there is none.
    """
    temporary = path.with_name(TEMPORARY + path.name)
    temporary.unlink(missing_ok=True)
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    try:
        with os.fdopen(handle, "wb") as file:
            if path.suffix == ".gz":
                with gzip.GzipFile(filename="", mode="wb", fileobj=file, compresslevel=6, mtime=0) as packed:
                    digest = _write_signed(packed, parts, key, signing_cert)
            else:
                digest = _write_signed(file, parts, key, signing_cert)
            file.flush()
            os.fsync(file.fileno())
        remember(digest)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)
    return digest


def _write_signed(
    file: IO[bytes] | gzip.GzipFile, parts: Iterable[bytes], key: rsa.RSAPrivateKey, signing_cert: str
) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
        file.write(part)
    certificate = base64.b64encode(signing_cert.encode()).decode()
    signature = sign_digest(key, digest.digest())
    file.write(f'---\n:signing_cert: "{certificate}"\n:signature: "{signature}"\n'.encode())
    return digest.hexdigest()


def open_document(source: Path, workspace: Path) -> Opened:
    """Copy a file (plain or gzip) into `workspace`, so that it cannot change any more, and check its signature.

    The caller removes the copy. Raises FileRefused.
    """
    copy = workspace / f"{TEMPORARY}incoming"
    copy.unlink(missing_ok=True)
    try:
        _copy(source, copy)
        return _verify(copy)
    except BaseException:
        copy.unlink(missing_ok=True)
        raise


def _copy(source: Path, target: Path) -> None:
    try:
        with source.open("rb") as file:
            packed = file.read(len(GZIP_MAGIC)) == GZIP_MAGIC
            file.seek(0)
            handle = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
            with os.fdopen(handle, "wb") as copy:
                _pour(gzip.GzipFile(fileobj=file) if packed else file, copy)
    except (gzip.BadGzipFile, zlib.error, EOFError):
        raise FileRefused("MALFORMED", "The file is not whole: its compression breaks off or is damaged.") from None
    except OSError as error:
        raise FileRefused("MALFORMED", f"{source} cannot be read: {error.strerror}.") from None


def _pour(source: IO[bytes] | gzip.GzipFile, target: IO[bytes]) -> None:
    size = 0
    while chunk := source.read(CHUNK):
        size += len(chunk)
        if size > MAX_FILE:
            raise FileRefused("TOO_LARGE", f"The file is longer than {MAX_FILE} bytes.")
        target.write(chunk)


def _verify(path: Path) -> Opened:
    size = path.stat().st_size
    with path.open("rb") as file:
        file.seek(max(0, size - MAX_TRAILER))
        tail = file.read()
        found = _TRAILER.search(tail)
        if found is None:
            raise FileRefused(
                "SIGNATURE_INVALID",
                "The file does not end with a line '---', its :signing_cert: and its :signature:"
                " (was it cut off, or saved with other line ends?).",
            )
        length = size - len(tail) + found.start()
        if length == 0:
            raise FileRefused("MALFORMED", "The file has no content.")
        digest = _digest(file, length)
    try:
        signing_cert = base64.b64decode(found[1], validate=True).decode("ascii")
        certificate = load_certificate(signing_cert, "certificate in the file's last lines")
        signer = read_rsa_key(certificate, "certificate in the file's last lines")
    except (binascii.Error, UnicodeDecodeError):
        raise FileRefused("CERTIFICATE_INVALID", "The file's :signing_cert: is not the Base64 of a PEM.") from None
    except VerificationFailed as error:
        raise FileRefused("CERTIFICATE_INVALID", str(error)) from None
    try:
        verify_digest(signer, digest.digest(), found[2].decode())
    except VerificationFailed:
        raise FileRefused(
            "SIGNATURE_INVALID", "The signature is not of this file: its bytes have changed, or it is of another one."
        ) from None
    return Opened(path, length, digest.hexdigest(), signing_cert, certificate)


def _digest(file: IO[bytes], length: int) -> "hashlib._Hash":
    digest = hashlib.sha256()
    file.seek(0)
    while length:
        chunk = file.read(min(CHUNK, length))
        digest.update(chunk)
        length -= len(chunk)
    return digest
