"""Registration and renewal: certificates from the server's own authority (WP "Cisco product registration")."""

import hashlib
import sqlite3
from datetime import UTC, datetime
from typing import Any, Final
from uuid import uuid4

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID

from agents.common.errors import VerificationFailed
from agents.common.keys import dump_key, fingerprint, generate_key
from agents.common.product_names import MAX_COMMON_NAME
from agents.common.signatures import verify
from agents.onprem.authority import Authority, Issued
from agents.onprem.products.lives import end_instance
from agents.onprem.products.token_use import Token, find_token, take_token_use
from agents.onprem.products.use import note_facts
from agents.onprem.products.wire import (
    Envelope,
    Refusal,
    RegistrationData,
    RenewalData,
    Request,
    Sudi,
    compose,
    parse_data,
)
from agents.onprem.server import Server, Site, load_server, next_revision

SKEW_MS: Final = 24 * 60 * 60 * 1000
RENEW_AFTER_SECONDS: Final = 15_552_000
KEY_BITS: Final = range(2048, 8193)
MULTITIER: Final = "MULTITIER"
"""The capability of products that check a chain of any length; others know 3 tiers only."""


def register(site: Site, envelope: Envelope, request: Request) -> bytes:
    """The body of the answer. Raises Refusal (never signed: there is nobody yet to sign for) and NotReady."""
    data = parse_data(request, RegistrationData)
    public_key = _read_csr(data.csr, request.sudi)
    _verify(public_key, envelope)
    digest = hashlib.sha256(envelope.request.encode()).hexdigest()
    own = fingerprint(public_key)
    with site.folder.reading() as database:
        stored = _find_stored(database, own, digest)
        if stored is not None:
            return stored
        load_server(database).require_keys()
        # Asked again under the lock; here, so that a stranger cannot make the server make keys.
        find_token(database, data.id_token, now=site.now())
    signing_key = generate_key()
    with site.folder.writing() as database:
        stored = _find_stored(database, own, digest)
        if stored is not None:
            return stored
        _check_time(site, database, own, request)
        server = load_server(database)
        now = site.now()
        tiers = _count_tiers(request)
        issued = _issue(site, server, request.sudi, public_key, signing_key, tiers)
        token = take_token_use(database, data.id_token, udi=request.sudi.udi, now=now)
        instance_id, piid = _replace_instance(database, request, data, token, tiers, now)
        _add_key(database, instance_id, "current", public_key, signing_key, issued)
        instance = database.execute("SELECT * FROM instance WHERE id = ?", [instance_id]).fetchone()
        facts = {"hostname": data.hostname, "ip_address": data.ip_address, "mac_address": data.mac_address}
        note_facts(database, instance, facts, data.ha_peers, data.software_tag_identifier)
        answered = _describe(issued, server, token.account_name)
        content = compose(request=request, now=now, piid=piid, data=answered, signer=signing_key)
        database.execute(
            "INSERT INTO registration_receipt (key, last_timestamp, last_request, last_answer) VALUES (?, ?, ?, ?)"
            " ON CONFLICT (key) DO UPDATE SET last_timestamp = excluded.last_timestamp,"
            " last_request = excluded.last_request, last_answer = excluded.last_answer",
            [own, request.header.timestamp, digest, content],
        )
    return content


def renew(
    site: Site, database: sqlite3.Connection, request: Request, instance: sqlite3.Row
) -> tuple[dict[str, Any], rsa.RSAPrivateKey]:
    """New certificates for a new key, pending until acknowledged with it; a pending one before is discarded."""
    data = parse_data(request, RenewalData)
    public_key = _read_csr(data.csr, request.sudi)
    server = load_server(database)
    signing_key = generate_key()
    tiers = _count_tiers(request)
    issued = _issue(site, server, request.sudi, public_key, signing_key, tiers)
    database.execute("UPDATE instance SET tiers = ? WHERE id = ?", [tiers, instance["id"]])
    database.execute("DELETE FROM product_key WHERE instance_id = ? AND role = 'pending'", [instance["id"]])
    _add_key(database, instance["id"], "pending", public_key, signing_key, issued)
    facts = {"hostname": data.hostname, "ip_address": data.ip_address, "mac_address": data.mac_address}
    if note_facts(database, instance, facts, data.ha_peers, data.software_tag_identifier):
        database.execute("UPDATE instance SET changed = ? WHERE id = ?", [next_revision(database), instance["id"]])
    account = database.execute("SELECT name FROM local_account WHERE id = ?", [instance["account_id"]]).fetchone()
    return _describe(issued, server, account["name"]), signing_key


def _count_tiers(request: Request) -> int:
    """A product may have learned longer chains since it registered."""
    return 4 if MULTITIER in request.header.connect_info.capabilities else 3


def _read_csr(pem: str, sudi: Sudi) -> rsa.RSAPublicKey:
    try:
        csr = x509.load_pem_x509_csr(pem.encode())
        key = csr.public_key()
        good = csr.is_signature_valid and isinstance(csr.signature_hash_algorithm, hashes.SHA256)
        names = [str(one.value) for one in csr.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    except (ValueError, UnsupportedAlgorithm):
        raise Refusal("CSR_INVALID", "The CSR is not a PKCS #10 request in PEM.") from None
    if not isinstance(key, rsa.RSAPublicKey) or key.key_size not in KEY_BITS or not good:
        raise Refusal("CSR_INVALID", "A CSR has an RSA key of 2048 bits or more and is signed with it and SHA-256.")
    if names not in ([sudi.udi[:MAX_COMMON_NAME]], [sudi.uuid] if sudi.uuid else None):
        raise Refusal("UDI_MISMATCH", "The CSR's common name is not this product's UDI.")
    return key


def _verify(public_key: rsa.RSAPublicKey, envelope: Envelope) -> None:
    try:
        verify(public_key, envelope.request.encode(), envelope.signature.value)
    except VerificationFailed:
        raise Refusal("SIGNATURE_INVALID", "The message is not signed with the key of its CSR.") from None


def _find_stored(database: sqlite3.Connection, key: str, digest: str) -> bytes | None:
    row = database.execute(
        "SELECT last_answer FROM registration_receipt WHERE key = ? AND last_request = ?", [key, digest]
    ).fetchone()
    return bytes(row["last_answer"]) if row else None


def _check_time(site: Site, database: sqlite3.Connection, key: str, request: Request) -> None:
    row = database.execute("SELECT last_timestamp FROM registration_receipt WHERE key = ?", [key]).fetchone()
    now, last = site.now(), row["last_timestamp"] if row else None
    advice = {"server_time": now, "last_timestamp": last}
    if abs(request.header.timestamp - now) > SKEW_MS:
        raise Refusal("CLOCK_SKEW", "The product's clock is more than 24 hours off.", data=advice)
    if last is not None and request.header.timestamp <= last:
        raise Refusal("REPLAYED", "A later registration with this key has been accepted already.", data=advice)


def _issue(
    site: Site,
    server: Server,
    sudi: Sudi,
    public_key: rsa.RSAPublicKey,
    signing_key: rsa.RSAPrivateKey,
    tiers: int,
) -> Issued:
    key = site.folder.load_key(server.require_keys().lcs)
    return Authority.load(key, server.certificates, tiers=tiers).issue(
        name=sudi.udi[:MAX_COMMON_NAME],
        udi=sudi.udi,
        public_key=public_key,
        signing_key=signing_key.public_key(),
        now=datetime.fromtimestamp(site.now() / 1000, UTC),
    )


def _replace_instance(
    database: sqlite3.Connection, request: Request, data: RegistrationData, token: Token, tiers: int, now: int
) -> tuple[int, str]:
    """A product that registers again leaves its earlier registration behind: one UDI counts once."""
    sudi, piid = request.sudi, str(uuid4())
    earlier = database.execute(
        "SELECT id FROM instance WHERE is_active AND udi_pid = ? AND udi_serial_number = ?",
        [sudi.udi_pid, sudi.udi_serial_number],
    ).fetchone()
    if earlier is not None:
        end_instance(database, earlier["id"], "removed")
    row = database.execute(
        "INSERT INTO instance (account_id, piid, state, is_active, udi_pid, udi_serial_number, software_tag, hostname,"
        " ip_address, mac_address, host_identifier, ha_peers, ha_group, tiers, token_id, registered_at,"
        " last_contact_at, last_timestamp, last_request, last_answer, changed)"
        " VALUES (?, ?, 'registering', 1, ?, ?, ?, '', '', '', ?, '[]', '', ?, ?, ?, ?, ?, '', x'', ?) RETURNING id",
        [
            token.account_id,
            piid,
            sudi.udi_pid,
            sudi.udi_serial_number,
            data.software_tag_identifier,
            sudi.host_identifier or "",
            tiers,
            token.id,
            now,
            now,
            request.header.timestamp,
            next_revision(database),
        ],
    ).fetchone()
    return int(row["id"]), piid


def _add_key(
    database: sqlite3.Connection,
    instance_id: int,
    role: str,
    public_key: rsa.RSAPublicKey,
    signing_key: rsa.RSAPrivateKey,
    issued: Issued,
) -> None:
    pem = public_key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    database.execute(
        "INSERT INTO issued_key (id_cert_serial, udi_pid, udi_serial_number, public_key)"
        " SELECT ?, udi_pid, udi_serial_number, ? FROM instance WHERE id = ?",
        [issued.serial, pem, instance_id],
    )
    database.execute(
        "INSERT INTO product_key (instance_id, role, public_key, signing_key, id_cert_serial, expires_at)"
        " VALUES (?, ?, ?, ?, ?, ?)",
        [
            instance_id,
            role,
            pem,
            dump_key(signing_key).decode(),
            issued.serial,
            int(issued.expires_at.timestamp() * 1000),
        ],
    )


def _describe(issued: Issued, server: Server, account_name: str) -> dict[str, Any]:
    return {
        "sub_ca_cert": issued.sub_ca_cert,
        "signing_cert": issued.signing_cert,
        "id_cert": issued.id_cert,
        "chain": issued.chain,
        "smart_account": server.smart_account,
        "virtual_account": account_name,
        "renew_after_seconds": RENEW_AFTER_SECONDS,
    }
