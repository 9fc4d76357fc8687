"""How a message travels: one POST. Smart Transport carries it as it is, Call Home in a SOAP envelope."""

import http.client
import ssl
from collections.abc import Mapping
from typing import Final, Protocol, runtime_checkable
from urllib.parse import urlsplit

from agents.smart_agent import call_home
from agents.smart_agent.errors import NetworkFailure, Refused, UsageError

SMART_PATH: Final = "/licservice/license"
OTHER_PATH: Final = "/SmartTransport"
CALL_HOME_PATH: Final = "/its/service/oddce/services/DDCEService"
GATEWAY_PATH: Final = "/Transportgateway/services/DeviceRequestHandler"
KINDS: Final = ("smart", "callhome")
TIMEOUT_SECONDS: Final = 30.0
MAX_ANSWER: Final = 4 * 1024 * 1024


class Transport(Protocol):
    def send(self, body: bytes) -> bytes:
        """Carry one message and return the answer's bytes. Raises NetworkFailure, or Refused for an HTTP refusal."""


@runtime_checkable
class Fetching(Protocol):
    def fetch(self, path: str) -> bytes:
        """What is at that path of the server. Raises as `Transport.send`."""


class SmartTransport:
    """HTTP(S) to `url`; a path in it stands before the service's. Redirects are never followed.

    Raises UsageError for what is not such a URL.
    """

    paths = (SMART_PATH, OTHER_PATH)
    content_type = "application/json"

    def __init__(self, url: str, *, timeout: float = TIMEOUT_SECONDS) -> None:
        try:
            parts = urlsplit(url)
            self._host, self._port = parts.hostname or "", parts.port
        except ValueError:
            raise UsageError(f"Not a URL: {url}") from None
        if parts.scheme not in ("http", "https") or not self._host or parts.query or parts.fragment or parts.username:
            raise UsageError(f"Not the URL of a license service: {url}")
        self._secure = parts.scheme == "https"
        path = parts.path.rstrip("/")
        self._path = path if path.endswith(self.paths) else path + self.paths[0]
        self._timeout = timeout

    def send(self, body: bytes) -> bytes:
        return self._request("POST", self._path, body, {"Content-Type": self.content_type})

    def fetch(self, path: str) -> bytes:
        before = next((self._path.removesuffix(one) for one in self.paths if self._path.endswith(one)), "")
        return self._request("GET", before + path)

    def _request(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> bytes:
        connection = self._connect()
        try:
            connection.request(method, path, body, dict(headers or {}))
            answer = connection.getresponse()
            content = answer.read(MAX_ANSWER + 1)
        except (OSError, http.client.HTTPException) as error:
            raise NetworkFailure(f"No answer from {self._host}: {error or type(error).__name__}") from None
        finally:
            connection.close()
        if answer.status >= 500:
            raise NetworkFailure(f"{self._host} is out of order: HTTP {answer.status} {answer.reason}")
        if answer.status != 200:
            raise Refused(f"HTTP_{answer.status}", f"{self._host} answers {answer.status} {answer.reason}")
        if len(content) > MAX_ANSWER:
            raise NetworkFailure(f"The answer from {self._host} is longer than {MAX_ANSWER} bytes")
        if answer.length:
            raise NetworkFailure(f"The answer from {self._host} was cut off")
        return content

    def _connect(self) -> http.client.HTTPConnection:
        if self._secure:
            context = ssl.create_default_context()
            return http.client.HTTPSConnection(self._host, self._port, timeout=self._timeout, context=context)
        return http.client.HTTPConnection(self._host, self._port, timeout=self._timeout)


class CallHomeTransport(SmartTransport):
    """The same over Call Home; a fault is what it is over Smart Transport, an HTTP refusal."""

    paths = (CALL_HOME_PATH, GATEWAY_PATH)
    content_type = call_home.CONTENT_TYPE

    def send(self, body: bytes) -> bytes:
        return call_home.unwrap(super().send(call_home.wrap(body)))


def open_transport(url: str) -> Transport:
    """The transport that the URL's path names; Smart Transport where it names none."""
    is_call_home = url.rstrip("/").endswith(CallHomeTransport.paths)
    return CallHomeTransport(url) if is_call_home else SmartTransport(url)


def place_url(url: str, kind: str) -> str:
    """The URL of the same service by the other way of transport, or as it is. `kind` is one of `KINDS`."""
    bare = url.rstrip("/")
    for path in (*SmartTransport.paths, *CallHomeTransport.paths):
        bare = bare.removesuffix(path)
    return bare + CALL_HOME_PATH if kind == "callhome" else bare
