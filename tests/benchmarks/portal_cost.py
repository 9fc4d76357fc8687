"""Run as a program beside a loaded database: what a page or an export costs within one process, as JSON.

`queries PATH` counts the statements of a page; `stream PATH` reads an export to its end and tells its rows (lines), its
bytes, the seconds until the first piece and until the last, and by how many bytes the process grew meanwhile.
"""

import json
import resource
import sys
import time
from typing import Any

import django

django.setup()

from django.db import connection  # noqa: E402  settings come first
from django.test import Client  # noqa: E402  settings come first
from django.test.utils import CaptureQueriesContext  # noqa: E402  settings come first

from accounts.models import User  # noqa: E402  settings come first

WHO = "alice@acme.example"
SMALL = "/accounts/acme.example/reports/subscriptions/?export=csv"


def count_queries(client: Client, path: str) -> dict[str, Any]:
    client.get(path)
    with CaptureQueriesContext(connection) as queries:
        assert client.get(path).status_code == 200
    return {"queries": len(queries)}


def stream(client: Client, path: str) -> dict[str, Any]:
    # What the first export of a process loads is not what a long one costs.
    _read(client, SMALL)
    grown = _peak()
    begun = time.perf_counter()
    answer = client.get(path)
    assert answer.status_code == 200
    size = lines = 0
    first = None
    for piece in answer.streaming_content:
        first = first or time.perf_counter() - begun
        size += len(piece)
        lines += piece.count(b"\n")
    answer.close()
    seconds = time.perf_counter() - begun
    return {"rows": lines, "bytes": size, "first": first, "seconds": seconds, "grown": _peak() - grown}


def _read(client: Client, path: str) -> None:
    answer = client.get(path)
    for _piece in answer.streaming_content:
        pass
    answer.close()


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main(what: str, path: str) -> None:
    client = Client(SERVER_NAME="127.0.0.1")
    client.force_login(User.objects.get(email=WHO), backend="django.contrib.auth.backends.ModelBackend")
    found = {"queries": count_queries, "stream": stream}[what](client, path)
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
