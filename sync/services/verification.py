"""Whether a synchronization file is this server's, unchanged, and in its order: asked before anything in it is used."""

import re
from base64 import b64decode
from binascii import Error as Base64Error
from datetime import datetime, timedelta
from typing import Final

from pki.crypto.messages import verify_digest
from sync.codecs.envelope import Envelope, Readable, digest_content
from sync.codecs.synchronization import Header
from sync.errors import FileCode, FileConflict, FileRefused, Problem
from sync.models import OnPremServer, ServerCertificate
from sync.states import CertificateKind, ServerState

MOST_AHEAD: Final = timedelta(hours=24)
_PEM: Final = re.compile(r"\s*-----BEGIN CERTIFICATE-----([A-Za-z0-9+/=\s]+)-----END CERTIFICATE-----\s*", re.ASCII)


def verify_signature(*, server: OnPremServer, file: Readable, envelope: Envelope, now: datetime) -> bytes:
    """The signer's certificate (DER): one that our records say we issued to this server, and that still holds.

    A chain proves nothing here, for every on-prem server holds an authority below our root.
    Raises `FileConflict` (SERVER_REMOVED), `FileRefused` (CERTIFICATE_INVALID, SIGNATURE_INVALID).
    """
    if server.state == ServerState.REMOVED:
        raise FileConflict(
            Problem(FileCode.SERVER_REMOVED, f'"{server.name}" was removed. Register it anew, then synchronize.')
        )
    der = read_pem(envelope.signing_cert)
    _find_certificate(server, der, now)
    if not verify_digest(bytes(server.lcs_key), envelope.signature, digest_content(file, envelope.content_length)):
        raise FileRefused(
            Problem(
                FileCode.SIGNATURE_INVALID,
                "The signature is not over these bytes. Was the file changed, or its line ends converted, on its way?",
            )
        )
    return der


def check_header(*, server: OnPremServer, header: Header, signer: bytes, now: datetime) -> None:
    """Whether the file is of this server and signer, and comes in its turn. Raises `FileRefused`, `FileConflict`."""
    if header.collector_id.lower() not in {str(server.uuid), server.uuid.hex}:
        raise _refused(FileCode.UNKNOWN_SERVER, "The file is of another on-prem server.", ":collector_id:")
    if read_pem(header.id_cert) != signer:
        raise _refused(FileCode.CERTIFICATE_INVALID, "It is not the certificate of the file's signer.", ":id_cert:")
    ours = ServerCertificate.objects.filter(server=server, kind=CertificateKind.SIGNING)
    if not ours.filter(certificate__der=read_pem(header.signing_cert)).exists():
        raise _refused(FileCode.CERTIFICATE_INVALID, "It was not given to this server.", ":signing_cert:")
    if header.last_generated_at > now + MOST_AHEAD:
        raise _refused(
            FileCode.OUT_OF_RANGE,
            f"The file says it was written at {header.last_generated}, more than 24 hours from now."
            " Set the server's clock right and write it anew.",
            ":last_generated:",
        )
    check_order(server=server, header=header)


def check_order(*, server: OnPremServer, header: Header) -> None:
    """Asked again under the server's lock. Raises `FileConflict`: STALE_FILE, SEQUENCE_GAP."""
    if server.last_generated_at is not None and header.last_generated_at <= server.last_generated_at:
        raise FileConflict(
            Problem(
                FileCode.STALE_FILE,
                f"A file written at {server.last_generated_at:%Y-%m-%dT%H:%M:%S}Z, which is not older, was applied"
                " already. Upload the newest file of the server; if it was restored, let it write a full one.",
                0,
                ":last_generated:",
            )
        )
    if header.last_sync is not None and header.last_sync != server.last_sync:
        raise FileConflict(
            Problem(
                FileCode.SEQUENCE_GAP,
                "The file continues from a response that is not the last one given to this server: a response was not"
                " installed, or the server was restored. Let it write a full synchronization file, and upload that.",
                0,
                ":last-sync:",
            )
        )


def read_pem(text: str) -> bytes:
    """The DER in a PEM, b"" for what is none."""
    found = _PEM.fullmatch(text)
    if found is None:
        return b""
    try:
        return b64decode("".join(found[1].split()), validate=True)
    except Base64Error:
        return b""


def _find_certificate(server: OnPremServer, der: bytes, now: datetime) -> None:
    rows = ServerCertificate.objects.filter(server=server, kind=CertificateKind.ID)
    row = rows.select_related("certificate").filter(certificate__der=der).first() if der else None
    if row is None:
        reason = "The file is not signed by a certificate that was given to this server."
    elif row.revoked_at is not None or row.registration != server.registration:
        reason = "The certificate that signed the file was revoked when the server was registered anew."
    elif not row.certificate.not_before <= now < row.certificate.not_after:
        reason = f"The certificate that signed the file ended on {row.certificate.not_after:%Y-%m-%d}. Register anew."
    else:
        return
    raise FileRefused(Problem(FileCode.CERTIFICATE_INVALID, reason, 0, ":signing_cert:"))


def _refused(code: FileCode, message: str, key: str) -> FileRefused:
    return FileRefused(Problem(code, message, 0, key))
