"""Bodies that hold many rows: each row succeeds or fails by itself."""

from collections.abc import Callable, Iterable, Mapping
from contextlib import nullcontext
from typing import Any, TypeVar

from django.db import transaction
from rest_framework.response import Response

from cssm.common.errors import DomainError

R = TypeVar("R")


def answer_rows(
    rows: Iterable[R],
    *,
    perform: Callable[[R], str | Mapping[str, Any]],
    show: Callable[[R], dict[str, Any]],
    name: str = "results",
    is_atomic: bool = False,
) -> Response:
    """`perform` does one row and returns its message, or members of its result, or raises a `DomainError`, which
    changes nothing of the others. `is_atomic`: it is a service that does all or nothing by itself, in two transactions.

    HTTP 200 whatever happened; the outer status is ERROR if any row failed.
    """
    results = []
    for row in rows:
        try:
            with nullcontext() if is_atomic else transaction.atomic():
                outcome = perform(row)
            members = outcome if isinstance(outcome, Mapping) else {"statusMessage": outcome}
            result = {"statusMessage": "", **members, "status": "SUCCESS"}
        except DomainError as refusal:
            result = {"status": "ERROR", "statusMessage": refusal.message}
        results.append({**show(row), **result})
    failed = sum(result["status"] == "ERROR" for result in results)
    outer = {"status": "ERROR", "statusMessage": f"{failed} of {len(results)} failed."} if failed else {}
    return Response({name: results, "status": "SUCCESS", "statusMessage": "", **outer})
