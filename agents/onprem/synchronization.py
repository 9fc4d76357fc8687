"""Synchronization: requests out, responses in, each installed wholly or not at all (WP tables 3 to 7)."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric import rsa

from agents.common.keys import fingerprint
from agents.common.trust import load_certificate, read_rsa_key
from agents.onprem.acceptance import Acceptance
from agents.onprem.documents.envelope import Opened, open_document, write_document
from agents.onprem.documents.reader import Reader
from agents.onprem.documents.requests import SynchronizationRequest
from agents.onprem.documents.responses import (
    HTTPS_CERTIFICATES,
    SERVER_CERTIFICATES,
    THREE_TIER,
    read_authorization,
    read_synchronization,
)
from agents.onprem.documents.writer import encode, stamp
from agents.onprem.enrolment import https_csrs
from agents.onprem.errors import FileRefused, NotReady
from agents.onprem.exports import list_accounts
from agents.onprem.installation import Installation
from agents.onprem.products.conversions import list_conversions, note_told
from agents.onprem.products.lives import expire_instances
from agents.onprem.products.usage_reports import list_usage_reports, read_usage_report, settle_usage_reports
from agents.onprem.products.usage_reports import note_told as note_reports_told
from agents.onprem.products.use import used_by_account
from agents.onprem.server import (
    Keys,
    Server,
    Site,
    current_revision,
    load_server,
    moment,
    parse_moment,
    save_server,
)

CERTIFICATES: Final = (*SERVER_CERTIFICATES, *HTTPS_CERTIFICATES, THREE_TIER)


def request_sync(site: Site, *, full: bool, output: Path | None) -> dict[str, Any]:
    """Write a synchronization request, incremental unless `full`. Raises NotReady, UsageError."""
    with site.folder.exclusive():
        return _request_sync(site, full=full, output=output)


def _request_sync(site: Site, *, full: bool, output: Path | None) -> dict[str, Any]:
    with site.folder.writing() as database:
        server = load_server(database)
        keys = server.require_keys()
        expire_instances(database, site.now())
        last = int(parse_moment(server.last_generated).timestamp() * 1000) if server.last_generated else 0
        # Never twice the same time, for a request that is not newer than the last one applied is refused.
        server.last_generated = stamp(moment(max(site.now(), last + 1)))
        save_server(database, server)
    full = full or server.last_sync is None
    tg_csr, ssms_csr = https_csrs(site, server.https_requested) if server.https_requested else (None, None)
    with site.folder.reading() as database:
        revision = current_revision(database)
        asked = dict(list_conversions(database))
        reports = list_usage_reports(database)
        request = SynchronizationRequest(
            id_cert=server.certificates["id_cert"],
            signing_cert=server.certificates["signing_cert"],
            collector_id=server.instance_id,
            last_sync=None if full else server.last_sync,
            last_generated=server.last_generated,
            accounts=list_accounts(database, full=full, since=server.installed_revision, privacy=server.privacy),
            conversions=list(asked.values()),
            usage_reports=(read_usage_report(database, number) for number in reports),
            tg_csr=tg_csr,
            ssms_csr=ssms_csr,
        )
        told = [tuple(row) for row in used_by_account(database)]
        path = output or site.folder.outbox / "synchronization_request.yaml"
        write_document(
            path,
            encode(request.parts()),
            key=site.folder.load_key(keys.lcs),
            signing_cert=server.certificates["id_cert"],
            remember=lambda digest: _remember_export(
                site, (server.last_generated, full, revision, digest), told, asked, reports
            ),
        )
    return {"file": str(path), "full": full, "last_generated": server.last_generated}


def _remember_export(
    site: Site,
    export: tuple[str, bool, int, str],
    told: list[tuple[Any, ...]],
    asked: Iterable[int],
    reports: Sequence[int],
) -> None:
    with site.folder.writing() as database:
        note_told(database, asked, export[0])
        number = database.execute(
            "INSERT INTO export (generated, is_full, revision, digest) VALUES (?, ?, ?, ?) RETURNING id", export
        ).fetchone()["id"]
        database.executemany(
            "INSERT INTO export_use (export_id, account_id, tag, quantity) VALUES (?, ?, ?, ?)",
            [(number, *one) for one in told],
        )
        note_reports_told(database, number, reports)


def install_authorization(site: Site, source: Path) -> dict[str, Any]:
    """Install the portal's answer to the registration request. Raises FileRefused, NotReady: then nothing changed."""
    with site.folder.exclusive():
        opened = open_document(source, site.folder.path)
        try:
            return _install_authorization(site, opened)
        finally:
            opened.path.unlink(missing_ok=True)


def _install_authorization(site: Site, opened: Opened) -> dict[str, Any]:
    with site.folder.writing() as database:
        server = load_server(database)
        if server.keys is not None and opened.digest == server.last_digest:
            return _outcome(server, installed=False)
        keys = server.requested
        if keys is None:
            raise NotReady("No registration request is open; write one with request-registration first.")
        installation = Installation(database, revision=0)
        with opened.path.open("rb") as file:
            values = read_authorization(Reader(file, opened.length), installation.take_account)
        if values["uuid"].lower() != server.instance_id:
            raise FileRefused("ACCOUNT_MISMATCH", "The file is for another on-prem server.", key=":uuid:")
        _check_newer(server, values["last-sync"])
        _accept(site, server, opened, values, keys, [keys])
        server.keys, server.requested, server.https_requested = keys, None, None
        server.smart_account = values["smart_account"]
        server.account_domain = values["account_domain"]
        server.registered_at = site.now()
        # Everything here is news to the portal, and of use here it knows nothing.
        server.installed_revision, server.installed_export = 0, None
        installation.finish(values)
        _note_installed(site, server, opened, values)
        save_server(database, server)
    site.folder.remove_keys(server.key_names())
    return _outcome(server, installed=True)


def install_sync(site: Site, source: Path) -> dict[str, Any]:
    """Install a synchronization response. Raises FileRefused, NotReady: then nothing changed."""
    with site.folder.exclusive():
        opened = open_document(source, site.folder.path)
        try:
            return _install_sync(site, opened)
        finally:
            opened.path.unlink(missing_ok=True)


def _install_sync(site: Site, opened: Opened) -> dict[str, Any]:
    with site.folder.writing() as database:
        server = load_server(database)
        keys = server.require_keys()
        if opened.digest == server.last_digest:
            return _outcome(server, installed=False)
        installation = Installation(database, revision=current_revision(database))
        with opened.path.open("rb") as file:
            values = read_synchronization(
                Reader(file, opened.length), installation.take_account, installation.take_conversion
            )
        if values["collector_instance_id"].lower() != server.instance_id:
            raise FileRefused(
                "ACCOUNT_MISMATCH", "The file is for another on-prem server.", key=":collector_instance_id:"
            )
        _check_newer(server, values["last-sync"])
        export = database.execute("SELECT * FROM export WHERE generated = ?", [values["last_generated"]]).fetchone()
        if export is None:
            raise FileRefused(
                "STALE_FILE",
                "The file answers a request that this server did not write, or one before the last that was answered.",
                key=":last_generated:",
            )
        offered = [keys, *([server.https_requested] if server.https_requested else [])]
        _accept(site, server, opened, values, keys, offered)
        installation.revision = export["revision"]
        installation.finish(values)
        settle_usage_reports(database, values["usage_answers"], export["generated"], site.now())
        server.installed_revision, server.installed_export = export["revision"], export["generated"]
        database.execute("DELETE FROM export WHERE id < ?", [export["id"]])
        _note_installed(site, server, opened, values)
        save_server(database, server)
    site.folder.remove_keys(server.key_names())
    return _outcome(server, installed=True)


def _check_newer(server: Server, last_sync: str) -> None:
    if server.last_sync is not None and parse_moment(last_sync) <= parse_moment(server.last_sync):
        raise FileRefused(
            "STALE_FILE",
            f"The file is of {last_sync} and not newer than the one installed, of {server.last_sync}.",
            key=":last-sync:",
        )


def _accept(
    site: Site, server: Server, opened: Opened, values: dict[str, Any], keys: Keys, https: Sequence[Keys]
) -> None:
    """Check the certificates and take them over; those that did not come stay."""
    certificates: dict[str, str] = {name: values[name] for name in CERTIFICATES if name in values}
    public = {name: site.folder.load_key(name).public_key() for one in https for name in (one.tg, one.ssms)}
    server.trust = Acceptance(server.trust, server.instance_id, at=site.clock()).check(
        opened,
        certificates,
        lcs=site.folder.load_key(keys.lcs).public_key(),
        tg=[public[one.tg] for one in https],
        ssms=[public[one.ssms] for one in https],
    )
    if server.keys is None or server.keys.lcs != keys.lcs:
        server.certificates = {}
    server.certificates = server.certificates | certificates


def _note_installed(site: Site, server: Server, opened: Opened, values: dict[str, Any]) -> None:
    server.satellite_name = values["satellite_name"]
    server.last_sync = values["last-sync"]
    server.last_installed_at = site.now()
    server.last_digest = opened.digest
    _settle_https(site, server)


def _settle_https(site: Site, server: Server) -> None:
    """New HTTPS keys become the server's own once the certificates for both have come."""
    wanted, keys = server.https_requested, server.keys
    if wanted is None or keys is None:
        return
    if all(
        _is_for(server.certificates.get(name), site.folder.load_key(key))
        for name, key in (("tg_ssl_cert", wanted.tg), ("ssms_ssl_cert", wanted.ssms))
    ):
        server.keys = Keys(lcs=keys.lcs, tg=wanted.tg, ssms=wanted.ssms, hosts=wanted.hosts)
        server.https_requested = None


def _is_for(pem: str | None, key: rsa.RSAPrivateKey) -> bool:
    if pem is None:
        return False
    return fingerprint(read_rsa_key(load_certificate(pem, "certificate"), "certificate")) == fingerprint(key)


def _outcome(server: Server, *, installed: bool) -> dict[str, Any]:
    return {
        "installed": installed,
        "instance_id": server.instance_id,
        "smart_account": server.smart_account,
        "account_domain": server.account_domain,
        "last_sync": server.last_sync,
        "three_tier": THREE_TIER in server.certificates,
    }
