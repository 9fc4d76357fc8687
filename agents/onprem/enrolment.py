"""From nothing to a registered server: the registration file out, the authorization file in (WP tables 1 and 2)."""

import ipaddress
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from agents.common.errors import UsageError
from agents.onprem.acceptance import load_root
from agents.onprem.documents.envelope import write_document
from agents.onprem.documents.requests import RegistrationRequest
from agents.onprem.documents.writer import encode, stamp
from agents.onprem.server import Keys, Server, Site, Trust, find_server, load_server, save_server

MAX_NAME: Final = 100
MAX_PEM: Final = 64 * 1024


def request_registration(
    site: Site, *, name: str | None, trust: Path | None, hosts: Sequence[str], output: Path | None, new_keys: bool
) -> dict[str, Any]:
    """Write the registration file; the first time with a new identity. Returns what was written.

    While no answer has come the same keys are asked for again; `new_keys` makes others, which take effect when the
    authorization file for them is installed. Raises UsageError.
    """
    site.folder.prepare()
    with site.folder.exclusive():
        server, keys = _prepare_request(site, name, trust, hosts, new_keys=new_keys)
        lcs = site.folder.load_key(keys.lcs)
        tg_csr, ssms_csr = https_csrs(site, keys)
        request = RegistrationRequest(
            satellite_name=server.satellite_name,
            instance_id=server.instance_id,
            exported=stamp(site.clock()),
            lcs_csr=make_csr(lcs, server.instance_id),
            tg_csr=tg_csr,
            ssms_csr=ssms_csr,
        )
        path = output or site.folder.outbox / "registration_request.yaml"
        write_document(path, encode(request.parts()), key=lcs)
    return {"file": str(path), "instance_id": server.instance_id, "satellite_name": server.satellite_name}


def _prepare_request(
    site: Site, name: str | None, trust: Path | None, hosts: Sequence[str], *, new_keys: bool
) -> tuple[Server, Keys]:
    with site.folder.reading() as database:
        known = find_server(database)
    if known is None:
        if not name or trust is None:
            raise UsageError("The first registration request needs --name and --trust.")
        known = Server(instance_id=str(uuid4()), satellite_name=_check_name(name), trust=read_trust(site, trust))
    elif trust is not None:
        known.trust = read_trust(site, trust)
    keys = None if new_keys else known.requested or known.keys
    if keys is None or (hosts and list(hosts) != keys.hosts):
        names = hosts or (keys.hosts if keys else [f"onprem-{known.instance_id[:8]}.internal"])
        keys = _make_keys(site, names, same=keys)
    with site.folder.writing() as database:
        server = find_server(database) or known
        server.requested, server.trust = keys, known.trust
        server.satellite_name = _check_name(name) if name else server.satellite_name
        save_server(database, server)
    site.folder.remove_keys(server.key_names())
    return server, keys


def replace_trust(site: Site, path: Path) -> None:
    """Trust what the portal exported anew. Raises UsageError."""
    trust = read_trust(site, path)
    with site.folder.writing() as database:
        server = load_server(database)
        server.trust = trust
        save_server(database, server)


def request_https(site: Site, hosts: Sequence[str]) -> None:
    """Ask for new HTTPS certificates with the next synchronization: for other host names, with new keys."""
    with site.folder.exclusive():
        with site.folder.reading() as database:
            keys = load_server(database).require_keys()
        wanted = _make_keys(site, hosts, same=keys)
        with site.folder.writing() as database:
            server = load_server(database)
            server.https_requested = wanted
            save_server(database, server)
        site.folder.remove_keys(server.key_names())


def read_trust(site: Site, path: Path) -> Trust:
    """A folder as `export_trust` writes it, or a file with the root certificate alone. Raises UsageError."""
    if not path.is_dir():
        trust = Trust(root=_read_pem(path))
    else:
        authorities = [path / name for name in ("sub-ca.pem", "satellite-ca.pem")]
        sub_ca, satellite_ca = (_read_pem(one) if one.exists() else None for one in authorities)
        trust = Trust(root=_read_pem(path / "root.pem"), sub_ca=sub_ca, satellite_ca=satellite_ca)
    load_root(trust.root, at=site.clock())
    return trust


def make_csr(key: rsa.RSAPrivateKey, name: str, hosts: Sequence[str] = ()) -> str:
    """A PKCS #10 request as PEM, signed with SHA-256; `hosts` are DNS names and IP addresses."""
    builder = x509.CertificateSigningRequestBuilder().subject_name(
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:64])])
    )
    if hosts:
        builder = builder.add_extension(
            x509.SubjectAlternativeName([_general_name(host) for host in hosts]), critical=False
        )
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM).decode()


def https_csrs(site: Site, keys: Keys) -> tuple[str, str]:
    """CSRs for the products' and the browsers' HTTPS side."""
    tg, ssms = site.folder.load_key(keys.tg), site.folder.load_key(keys.ssms)
    return make_csr(tg, keys.hosts[0], keys.hosts), make_csr(ssms, keys.hosts[0], keys.hosts)


def _make_keys(site: Site, hosts: Sequence[str], *, same: Keys | None) -> Keys:
    """New keys; for other host names alone the LCS key stays, which is the server's identity."""
    return Keys(
        lcs=same.lcs if same else site.folder.add_key("lcs"),
        tg=site.folder.add_key("tg"),
        ssms=site.folder.add_key("ssms"),
        hosts=_check_hosts(hosts),
    )


def _check_hosts(hosts: Sequence[str]) -> list[str]:
    for host in hosts:
        _general_name(host)
    if len(set(hosts)) != len(hosts):
        raise UsageError("A host name is given twice.")
    return list(hosts)


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        pass
    if not host or len(host) > 253 or not all(part.isascii() and part for part in host.split(".")) or "*" in host:
        raise UsageError(f"{host!r} is not a host name or an IP address.")
    return x509.DNSName(host)


def _check_name(name: str) -> str:
    if not name.strip() or len(name) > MAX_NAME or not name.isprintable():
        raise UsageError(f"A name has 1 to {MAX_NAME} printable characters.")
    return name


def _read_pem(path: Path) -> str:
    try:
        content = path.read_bytes()
        if len(content) > MAX_PEM:
            raise UsageError(f"{path} is too large for a certificate.")
        return content.decode("ascii")
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise UsageError(f"{path} is not a PEM file.") from None
