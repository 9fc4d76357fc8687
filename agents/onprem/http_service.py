"""The license service on the network: Smart Transport and Call Home over HTTP and HTTPS, one thread per connection."""

import logging
import ssl
import tempfile
import threading
from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

from agents.common.errors import AgentError
from agents.common.files import TEMPORARY, write_private_file
from agents.common.keys import dump_key
from agents.onprem import call_home
from agents.onprem.errors import NotReady
from agents.onprem.products.service import answer
from agents.onprem.products.wire import MAX_REPORTS_BODY, BadOuterForm, TooLarge
from agents.onprem.server import Site, load_server

PATHS: Final = frozenset({"/licservice/license", "/SmartTransport"})
CALL_HOME_PATHS: Final = frozenset(
    {"/its/service/oddce/services/DDCEService", "/Transportgateway/services/DeviceRequestHandler"}
)
KINDS: Final = dict.fromkeys(PATHS, frozenset({"application/json"})) | dict.fromkeys(
    CALL_HOME_PATHS, call_home.ACCEPTED
)
"""What may be posted where."""
TIMEOUT_SECONDS: Final = 30
POLL_SECONDS: Final = 0.1
STOP_SECONDS: Final = 5.0
"""A synchronization that waits for the portal is not waited for: it is sent again after the next start."""
log = logging.getLogger("onprem")


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "onprem"
    sys_version = ""
    timeout = TIMEOUT_SECONDS
    server: "LicenseServer"

    def do_POST(self) -> None:
        if self.path not in KINDS:
            self._reject(404, "There is no license service at this path.")
        elif self.headers.get_content_type() not in KINDS[self.path]:
            self._reject(415, f"A device message is {' or '.join(sorted(KINDS[self.path]))} here.")
        elif not (self.headers.get("Content-Length") or "").isdecimal():
            self._reject(411, "The length of the message is missing.")
        elif int(self.headers["Content-Length"]) > MAX_REPORTS_BODY:
            self._reject(413, f"A device message has at most {MAX_REPORTS_BODY} bytes.")
        else:
            self._answer(self.rfile.read(int(self.headers["Content-Length"])))

    def do_GET(self) -> None:
        self._reject(405 if self.path in KINDS else 404, "Products post their messages.")

    def _answer(self, body: bytes) -> None:
        try:
            if self.path in CALL_HOME_PATHS:
                message, namespace = call_home.unwrap(body)
                content = call_home.wrap(answer(self.server.site, message), namespace)
                self._send(200, call_home.CONTENT_TYPES[namespace], content)
            else:
                self._send(200, "application/json", answer(self.server.site, body))
        except BadOuterForm as error:
            self._reject(400, f"This is not a device message: {error}")
        except TooLarge as error:
            self._reject(413, str(error))

    def _reject(self, status: int, reason: str) -> None:
        self.close_connection = True
        self._send(status, "text/plain; charset=utf-8", f"{reason}\n".encode())

    def _send(self, status: int, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        log.info("%s %s", self.address_string(), format % args)


class LicenseServer(ThreadingHTTPServer):
    """Answers products at one address; `context` makes it HTTPS."""

    daemon_threads = True

    def __init__(self, address: tuple[str, int], site: Site, context: ssl.SSLContext | None = None) -> None:
        super().__init__(address, _Handler)
        self.site = site
        self.context = context

    @property
    def port(self) -> int:
        return int(self.server_address[1])

    def finish_request(self, request: Any, client_address: Any) -> None:
        """The handshake belongs to the connection's own thread: one that says nothing must not hold up the others."""
        if self.context is not None:
            request.settimeout(TIMEOUT_SECONDS)
            request = self.context.wrap_socket(request, server_side=True)
        try:
            super().finish_request(request, client_address)
        finally:
            if self.context is not None:
                with suppress(OSError):
                    request.close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        log.info("%s went away", client_address[0])


class Https:
    """The TG certificate and its issuer (WP "Cisco SSM On-Prem certificates used for communications").

    `refresh` takes over what a synchronization brought. Raises NotReady where the portal has given none.
    """

    def __init__(self, site: Site) -> None:
        self._site = site
        self._loaded = ""
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.minimum_version = ssl.TLSVersion.TLSv1_2
        self.refresh()

    def refresh(self) -> None:
        with self._site.folder.reading() as database:
            server = load_server(database)
        keys = server.require_keys()
        if "tg_ssl_cert" not in server.certificates:
            raise NotReady("There is no certificate for HTTPS yet.")
        chain = "".join(server.certificates[name] for name in ("tg_ssl_cert", "tg_issuer_cert"))
        if chain == self._loaded:
            return
        with tempfile.TemporaryDirectory(prefix=TEMPORARY, dir=self._site.folder.path) as place:
            path = Path(place) / "chain.pem"
            write_private_file(path, chain.encode() + dump_key(self._site.folder.load_key(keys.tg)))
            self.context.load_cert_chain(path)
        self._loaded = chain


class Service:
    """The servers and the schedule, until `stop`."""

    def __init__(self, servers: list[LicenseServer], tick: Callable[[], object], *, every: float = 30.0) -> None:
        self._servers = servers
        self._tick = tick
        self._every = every
        self._stopped = threading.Event()
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        for server in self._servers:
            self._threads.append(
                threading.Thread(target=server.serve_forever, args=[POLL_SECONDS], name="license-service")
            )
        self._threads.append(threading.Thread(target=self._keep_schedule, name="schedule", daemon=True))
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stopped.set()
        for server in self._servers:
            server.shutdown()
            server.server_close()
        for thread in self._threads:
            thread.join(STOP_SECONDS)

    def _keep_schedule(self) -> None:
        while not self._stopped.is_set():
            try:
                self._tick()
            except AgentError as error:
                log.warning("%s: %s", error.code, error)
            self._stopped.wait(self._every)
