"""What the product's commands share: `--json`, with nothing but the JSON on standard output, and plain refusals."""

import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from cssm.common.errors import DomainError


class PortalCommand(BaseCommand):
    """A command answers by `answer`, and lets the `DomainError` of a service end it with exit code 1.

    With `--json` a failure is JSON too: `{"status": "ERROR", "code", "message", "where"}` and what the error adds.
    """

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", help="print the result as JSON, and nothing else")

    def answer(self, options: dict[str, Any], data: dict[str, Any], text: str) -> None:
        self.stdout.write(json.dumps(data, default=str) if options["json"] else text)

    def execute(self, *args: Any, **options: Any) -> str | None:
        try:
            return super().execute(*args, **options)
        except DomainError as error:
            self.tell_failure(options, error)
            raise CommandError("\n".join([str(error), *_list_errors(error)])) from error
        except CommandError as error:
            self.tell_failure(options, error)
            raise

    def tell_failure(self, options: dict[str, Any], error: Exception) -> None:
        if options.get("json"):
            self.stdout.write(json.dumps({"status": "ERROR", **_describe(error)}, default=str))


def _describe(error: Exception) -> dict[str, Any]:
    if isinstance(error, DomainError):
        return {"code": error.code, "message": error.message, "where": error.where, **error.details}
    return {"code": "FAILED", "message": str(error), "where": None}


def _list_errors(error: DomainError) -> list[str]:
    """One text line for each of the refusal's errors, in the order they have in the file."""
    lines = []
    for detail in error.details.get("errors", []):
        place = detail.get("column") or detail.get("field") or ""
        where = f"line {detail['line']}" + (f", {place}" if place else "")
        lines.append(f"  {where}: {detail['message']} [{detail['code']}]")
    return lines
