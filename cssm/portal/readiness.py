"""Whether this process can do its work: what `/readyz` and the operator area show."""

import time
from collections.abc import Callable
from typing import Final, TypedDict

import structlog
from celery import current_app
from django.db import DatabaseError, connection
from kombu.exceptions import KombuError

from pki.services.authorities import find_problems

log = structlog.get_logger(__name__)

BROKER_SECONDS: Final = 2


class Part(TypedDict):
    """`problem` is empty where `ok`; it never holds an address or a secret, for anyone may read it."""

    ok: bool
    problem: str
    milliseconds: int


def check_parts() -> dict[str, Part]:
    """The database, the broker and the keys, each tried for real."""
    return {name: _timed(name, check) for name, check in CHECKS.items()}


def _timed(name: str, check: Callable[[], str]) -> Part:
    started = time.monotonic()
    problem = check()
    if problem:
        log.warning("not_ready", part=name, problem=problem)
    return {"ok": not problem, "problem": problem, "milliseconds": round((time.monotonic() - started) * 1000)}


def _check_database() -> str:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except DatabaseError as error:
        log.error("database_unreachable", error=str(error))
        return "The database does not answer."
    return ""


def _check_broker() -> str:
    try:
        with current_app.connection_for_write() as broker:
            if broker.transport_cls == "redis":
                limits = {"socket_connect_timeout": BROKER_SECONDS, "socket_timeout": BROKER_SECONDS}
                broker.transport_options = {**(broker.transport_options or {}), **limits}
            broker.ensure_connection(max_retries=1, timeout=BROKER_SECONDS, reraise_as_library_errors=True)
    except (KombuError, OSError) as error:
        log.error("broker_unreachable", error=type(error).__name__)
        return "The message broker does not answer."
    return ""


def _check_keys() -> str:
    try:
        return " ".join(find_problems())
    except DatabaseError:
        return "The database does not answer."


CHECKS: Final[dict[str, Callable[[], str]]] = {
    "database": _check_database,
    "broker": _check_broker,
    "keys": _check_keys,
}
