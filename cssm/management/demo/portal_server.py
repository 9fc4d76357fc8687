"""The portal on a loopback port of its own, for as long as the demo's devices register."""

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server
from wsgiref.types import StartResponse, WSGIEnvironment

from django.core.wsgi import get_wsgi_application


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _SilentHandler(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """Standard output and error belong to the command."""


class _Secured:
    """The portal as it is seen behind TLS: nothing leaves this machine, and only the agents are told the port."""

    def __init__(self) -> None:
        self.portal = get_wsgi_application()

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        return self.portal({**environ, "wsgi.url_scheme": "https"}, start_response)


@contextmanager
def serve_portal() -> Iterator[str]:
    """Yield the base URL of a server that ends with the block."""
    server = make_server("127.0.0.1", 0, _Secured(), server_class=_Server, handler_class=_SilentHandler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
