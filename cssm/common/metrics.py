"""Figures about requests, for `/metrics`. Each process counts its own; the names of paths and people stay out of it."""

from typing import Final

from prometheus_client import Histogram

DEVICE, TOKEN, API, PORTAL = "device", "token", "api", "portal"

REQUESTS: Final = Histogram(
    "portal_request_seconds",
    "Seconds from request to answer, by who asked and the class of the status.",
    ["kind", "status"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)


def observe_request(kind: str, *, status: int, seconds: float) -> None:
    REQUESTS.labels(kind, f"{status // 100}xx").observe(seconds)
