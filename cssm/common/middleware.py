"""First in the chain: which way a request came, from whom, and whether it may come that way."""

import ipaddress
import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Any, Final, cast

import structlog
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.urls import resolve

from cssm.common.metrics import API, DEVICE, PORTAL, TOKEN, observe_request

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Address = ipaddress.IPv4Address | ipaddress.IPv6Address

DEVICE_PATHS: Final = frozenset(
    {
        "/licservice/license",
        "/SmartTransport",
        "/its/service/oddce/services/DDCEService",
        "/Transportgateway/services/DeviceRequestHandler",
    }
)
TOKEN_PATHS: Final = frozenset({"/as/token.oauth2", "/oauth2/default/v1/token", "/oauth/token", "/backend/oauth/token"})
MACHINE_PREFIXES: Final = ("/onprem/", "/services/api/", "/api/", "/backend/api/")


class PortalRequest(HttpRequest):
    """What this middleware adds to a request. `client_ip` is empty where the server does not say (a socket file)."""

    correlation_id: str
    client_ip: str


def correlation_id_of(request: HttpRequest) -> str:
    return getattr(request, "correlation_id", "")


class TransportMiddleware:
    """Gives a request its correlation id, real client address and scheme; refuses programs that come by plain HTTP.

    `X-Forwarded-*` headers count only from `TRUSTED_PROXIES`. With `PUBLIC_URL` on https a device, file, token or API
    call over plain HTTP gets 403 before its body is read, never a redirect: a redirected program has already sent its
    secret in the clear (WP: only HTTPS sessions).

    Device messages go straight to their view: they carry no cookie, session or form, and the rest of the chain would
    cost more than checking their signature.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response
        self.proxies = Proxies.trusted()

    def __call__(self, plain_request: HttpRequest) -> HttpResponseBase:
        request = cast(PortalRequest, plain_request)
        started = time.perf_counter()
        request.correlation_id = str(uuid.uuid4())
        request.client_ip = self.proxies.client_of(request.META)
        # Django reads the scheme from here: secure cookies, HSTS and the CSRF referrer check follow it too.
        request.META["wsgi.url_scheme"] = self.proxies.scheme_of(request.META)
        with structlog.contextvars.bound_contextvars(correlation_id=request.correlation_id):
            response = self._answer(request)
        response.headers["X-Correlation-ID"] = request.correlation_id
        seconds = time.perf_counter() - started
        observe_request(kind_of(request.path_info), status=response.status_code, seconds=seconds)
        return response

    def _answer(self, request: PortalRequest) -> HttpResponseBase:
        if is_machine_path(request.path_info) and not may_be_read(request.META, self.proxies):
            return refuse(request, 403, "HTTPS_REQUIRED", "Plain HTTP is not accepted here. Use https.")
        if request.META.get("HTTP_TRANSFER_ENCODING") and not request.META.get("CONTENT_LENGTH"):
            # WSGI has no body without a length (PEP 3333); taken for empty, it would be answered wrongly.
            return refuse(request, 411, "LENGTH_REQUIRED", "Send the length of the body (Content-Length).")
        if request.path_info in DEVICE_PATHS:
            match = resolve(request.path_info)
            request.resolver_match = match
            return cast(HttpResponseBase, match.func(request, *match.args, **match.kwargs))
        return self.get_response(request)


class Proxies:
    """Whose word about a request's client counts: `TRUSTED_PROXIES`."""

    def __init__(self, networks: Iterable[Network]) -> None:
        self._networks = tuple(networks)

    @classmethod
    def trusted(cls) -> "Proxies":
        """Raises `ImproperlyConfigured`."""
        return cls(parse_networks(settings.TRUSTED_PROXIES))

    def scheme_of(self, meta: Mapping[str, Any]) -> str:
        """By which the client came, by a request's WSGI environment: http or https."""
        plain: str = meta.get("wsgi.url_scheme", "http")
        told = meta.get("HTTP_X_FORWARDED_PROTO", "")
        if not told or (peer := parse_address(meta.get("REMOTE_ADDR", ""))) is None or not self._is_trusted(peer):
            return plain
        schemes = {part.strip().lower() for part in told.split(",")}
        if schemes == {""}:
            return plain
        return "https" if schemes == {"https"} else "http"

    def client_of(self, meta: Mapping[str, Any]) -> str:
        """The client's address; empty where the server does not say."""
        peer = parse_address(meta.get("REMOTE_ADDR", ""))
        if peer is None:
            return ""
        if not self._is_trusted(peer):
            return str(peer)
        for part in reversed(meta.get("HTTP_X_FORWARDED_FOR", "").split(",")):
            hop = parse_address(part.strip())
            if hop is None:
                break
            peer = hop
            if not self._is_trusted(hop):
                break
        return str(peer)

    def _is_trusted(self, address: Address) -> bool:
        return any(address in network for network in self._networks)


def may_be_read(meta: Mapping[str, Any], proxies: Proxies) -> bool:
    """Whether what a program sends may be read: not where it comes in the clear and should not."""
    return not settings.PUBLIC_IS_HTTPS or proxies.scheme_of(meta) == "https"


def is_machine_path(path: str) -> bool:
    """Whether only programs call this path. Some of them double the first slash."""
    path = "/" + path.lstrip("/")
    return path in DEVICE_PATHS or path in TOKEN_PATHS or path.startswith(MACHINE_PREFIXES)


def kind_of(path: str) -> str:
    """Who calls this path, as the metrics tell them apart."""
    if path in DEVICE_PATHS:
        return DEVICE
    if path in TOKEN_PATHS:
        return TOKEN
    return API if is_machine_path(path) else PORTAL


def refuse(request: HttpRequest, status: int, code: str, message: str) -> HttpResponse:
    body = {"status": "ERROR", "statusMessage": message, "code": code, "errors": []}
    return JsonResponse({**body, "correlationId": correlation_id_of(request)}, status=status)


def parse_networks(values: Iterable[str]) -> tuple[Network, ...]:
    """Addresses and CIDR ranges. Raises `ImproperlyConfigured` for anything else."""
    try:
        return tuple(ipaddress.ip_network(value.strip(), strict=False) for value in values if value.strip())
    except ValueError as error:
        raise ImproperlyConfigured(f"TRUSTED_PROXIES holds no address or network: {error}") from error


@lru_cache(maxsize=4_096)
def parse_address(value: str) -> Address | None:
    """The address, an IPv4 one in its plain form even where the socket gave it as IPv6; nothing where it is none."""
    try:
        address = ipaddress.ip_address(value)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address
