"""Network synchronization: the same file by HTTP, its sender proven by a signature with the LCS key in two headers.

X-OnPrem-Timestamp   Unix ms, growing, within 5 minutes of the portal's clock
X-OnPrem-Signature   Base64 RSASSA-PKCS1-v1_5/SHA-256 over METHOD\\nPATH\\nTIMESTAMP\\nhex SHA-256(body)
"""

import hashlib
import http.client
import json
import os
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

from agents.common.errors import NetworkFailure, Refused, UsageError
from agents.common.signatures import sign
from agents.onprem.documents.envelope import MAX_FILE
from agents.onprem.server import Site, load_server, save_server
from agents.onprem.synchronization import install_sync, request_sync

CHUNK: Final = 256 * 1024
TIMEOUT_SECONDS: Final = 120.0
MAX_PROBLEM: Final = 256 * 1024
PENDING: Final = "network_request.yaml"
WAITS: Final = (2.0, 5.0, 10.0, 20.0, *[60.0] * 60)
"""Seconds between looks at a file that the portal is still working on."""

DISCARDED: Final = frozenset({"STALE_FILE", "SEQUENCE_GAP"})
"""Refusals after which the request at hand is of no more use, and a new one is."""


class Portal(Protocol):
    def exchange(self, method: str, url: str, headers: dict[str, str], body: Path | None, answer: Path) -> int:
        """Send a request and put the answer's body into the file `answer`; the HTTP status. Raises NetworkFailure."""


class HttpPortal:
    """By HTTP or HTTPS; redirects are never followed."""

    def __init__(self, *, timeout: float = TIMEOUT_SECONDS) -> None:
        self._timeout = timeout

    def exchange(self, method: str, url: str, headers: dict[str, str], body: Path | None, answer: Path) -> int:
        parts = urlsplit(url)
        connection = self._connect(parts.scheme, parts.hostname or "", parts.port)
        try:
            length = {"Content-Length": str(body.stat().st_size)} if body else {}
            target = parts.path + (f"?{parts.query}" if parts.query else "")
            if body is None:
                connection.request(method, target, headers=headers)
            else:
                with body.open("rb") as file:
                    connection.request(method, target, file, headers | length)
            response = connection.getresponse()
            _keep(response, answer)
            return response.status
        except (OSError, http.client.HTTPException) as error:
            raise NetworkFailure(f"No answer from {parts.hostname}: {error or type(error).__name__}") from None
        finally:
            connection.close()

    def _connect(self, scheme: str, host: str, port: int | None) -> http.client.HTTPConnection:
        if scheme == "https":
            context = ssl.create_default_context()
            return http.client.HTTPSConnection(host, port, timeout=self._timeout, context=context)
        return http.client.HTTPConnection(host, port, timeout=self._timeout)


def _keep(response: http.client.HTTPResponse, target: Path) -> None:
    target.unlink(missing_ok=True)
    size = 0
    with os.fdopen(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600), "wb") as file:
        while chunk := response.read(CHUNK):
            size += len(chunk)
            if size > MAX_FILE:
                raise NetworkFailure(f"The answer is longer than {MAX_FILE} bytes.")
            file.write(chunk)


def check_url(url: str) -> str:
    """Raises UsageError for what is not the address of a portal."""
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and parts.hostname and not parts.query and not parts.fragment
        _ = parts.port
    except ValueError:
        good = False
    if not good or "@" in url:
        raise UsageError(f"Not the address of a portal: {url}")
    return url.rstrip("/")


@dataclass(frozen=True, slots=True)
class Network:
    """Synchronizes one server with its portal. `wait` is called with seconds between looks at a long exchange."""

    site: Site
    portal: Portal
    wait: Callable[[float], object]

    def synchronize(self, *, url: str | None = None, full: bool = False) -> dict[str, Any]:
        """Send a request, install the response. A request whose answer was lost is sent again as it was, first.

        Where the portal misses a link in the chain of files, everything is sent anew. Raises AgentError.
        """
        base = self._remember(url)
        pending = self.site.folder.outbox / PENDING
        if pending.exists():
            try:
                outcome = self._send(base, pending)
                if not full:
                    return outcome
            except Refused as refusal:
                if refusal.code not in DISCARDED:
                    pending.unlink(missing_ok=True)
                    raise
        try:
            return self._ask(base, pending, full=full)
        except Refused as refusal:
            if refusal.code != "SEQUENCE_GAP" or full:
                raise
        return self._ask(base, pending, full=True)

    def _ask(self, base: str, pending: Path, *, full: bool) -> dict[str, Any]:
        request_sync(self.site, full=full, output=pending)
        try:
            return self._send(base, pending) | {"full": full}
        except Refused:
            pending.unlink(missing_ok=True)
            raise

    def _send(self, base: str, pending: Path) -> dict[str, Any]:
        with self.site.folder.reading() as database:
            instance_id = load_server(database).instance_id
        url = f"{base}/onprem/v1/{instance_id}/synchronizations"
        answer = self.site.folder.outbox / "network_response.yaml"
        try:
            status = self._post(url, pending, answer)
            if status != 200:
                raise _refused(status, answer)
            outcome = install_sync(self.site, answer)
        finally:
            answer.unlink(missing_ok=True)
        pending.unlink(missing_ok=True)
        return outcome

    def _post(self, url: str, pending: Path, answer: Path) -> int:
        """The status of the final answer. A large file is still being worked on while the answer is 202: the same bytes
        sent again have no second effect, and bring the response once there is one. Raises NetworkFailure after an hour.
        """
        for pause in WAITS:
            status = self._exchange("POST", url, pending, answer)
            if status != 202:
                return status
            self.wait(pause)
        raise NetworkFailure("The portal is still working on the file; the next synchronization asks again.")

    def _exchange(self, method: str, url: str, body: Path | None, answer: Path) -> int:
        digest = hashlib.sha256()
        if body is not None:
            with body.open("rb") as file:
                while chunk := file.read(CHUNK):
                    digest.update(chunk)
        with self.site.folder.writing() as database:
            server = load_server(database)
            server.last_network_timestamp = max(self.site.now(), server.last_network_timestamp + 1)
            save_server(database, server)
        key = self.site.folder.load_key(server.require_keys().lcs)
        timestamp = str(server.last_network_timestamp)
        signed = f"{method}\n{urlsplit(url).path}\n{timestamp}\n{digest.hexdigest()}"
        headers = {
            "X-OnPrem-Timestamp": timestamp,
            "X-OnPrem-Signature": sign(key, signed.encode()),
            "Content-Type": "application/yaml",
        }
        return self.portal.exchange(method, url, headers, body, answer)

    def _remember(self, url: str | None) -> str:
        with self.site.folder.writing() as database:
            server = load_server(database)
            server.require_keys()
            if url:
                server.portal_url = check_url(url)
                save_server(database, server)
        if not server.portal_url:
            raise UsageError("The portal's address is not known: give --url.")
        return server.portal_url


def _refused(status: int, answer: Path) -> Refused | NetworkFailure:
    if status >= 500:
        return NetworkFailure(f"The portal is out of order: HTTP {status}")
    if status == 401:
        return Refused("HTTP_401", "The portal does not accept the signature of this server (is the clock right?).")
    try:
        with answer.open("rb") as file:
            body = json.loads(file.read(MAX_PROBLEM))
        problems = [one for one in body.get("errors") or [body] if isinstance(one, dict)]
        code = str(problems[0].get("code") or f"HTTP_{status}")
        text = "; ".join(str(one.get("message") or one.get("statusMessage") or "") for one in problems[:5])
    except (ValueError, AttributeError, IndexError, OSError):
        return Refused(f"HTTP_{status}", f"The portal answers {status}.")
    return Refused(code, text or f"The portal answers {status}.")
