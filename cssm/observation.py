"""What leaves the process when something fails: a report to Sentry, where `SENTRY_DSN` names one.

A report says which code failed and how, never with what: requests, queries and variables here hold tokens, secrets and
messages of customers' products.
"""

from typing import Any, Final

import sentry_sdk
from sentry_sdk.types import Event, Hint

REQUEST_PARTS: Final = ("url", "method")
"""All that is told of the request that failed. The URL is without its query."""


def configure_sentry(dsn: str, *, environment: str) -> None:
    """Report errors of this process; does nothing without a DSN. Raises `sentry_sdk.utils.BadDsn`."""
    if dsn:
        sentry_sdk.init(**sentry_options(dsn, environment=environment))


def sentry_options(dsn: str, *, environment: str) -> dict[str, Any]:
    return {
        "dsn": dsn,
        "environment": environment,
        "before_send": keep_to_the_failure,
        "include_local_variables": False,
        "max_breadcrumbs": 0,
        "max_request_body_size": "never",
        "traces_sample_rate": None,
    }


def keep_to_the_failure(event: Event, hint: Hint) -> Event:
    """Take out what a request brought: query, fields, headers, cookies, the user, the arguments of log lines."""
    request = event.get("request")
    if request is not None:
        event["request"] = {part: request[part] for part in REQUEST_PARTS if part in request}
    for part in ("user", "extra", "breadcrumbs"):
        event.pop(part, None)  # type: ignore[misc]  # names of a TypedDict in a loop
    return event
