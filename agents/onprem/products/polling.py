"""POLL: the answer that was not there yet, only to the instance that was given the number."""

import sqlite3
from typing import Any, Final

from agents.onprem.products.conversions import describe_conversion, find_conversion
from agents.onprem.products.usage_reports import describe_promise, find_promise
from agents.onprem.products.wire import PollData, Refusal, Request, parse_data

LAST_NUMBER: Final = 2**63 - 1


def poll(database: sqlite3.Connection, request: Request, instance: sqlite3.Row) -> dict[str, Any]:
    """The result, or that it is still to come. Raises Refusal."""
    number = int(parse_data(request, PollData).poll_id)
    if number <= LAST_NUMBER:
        conversion = find_conversion(database, number, instance)
        if conversion is not None:
            return describe_conversion(conversion)
        promise = find_promise(database, number, instance)
        if promise is not None:
            return describe_promise(database, promise)
    raise Refusal("POLL_UNKNOWN", "There is nothing to ask for under this poll_id.")
