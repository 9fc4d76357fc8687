"""A process that answers messages: `python -m tests.serving.clerk DESCRIPTOR`.

It tells what it was asked and who it is; a body may have it end, or answer as if to another message.
"""

import json
import os
import sys
from typing import Any

from cssm.serving import deputy
from cssm.serving.gateway import Answer

ENDS, CONFUSES = b"end", b"confuse"


def answer(environ: Any, body: bytes) -> Answer:
    if body == ENDS:
        os._exit(3)
    if body == CONFUSES:
        send = deputy._send
        deputy._send = lambda link, head, body: send(link, [head[0] - 1, *head[1:]], body)
    seen = {
        "pid": os.getpid(),
        "body": body.decode("latin-1"),
        "name": environ.get("HTTP_X_NAME"),
        "version": environ["wsgi.version"],
        "counts": deputy.COUNTED_HERE in os.environ,
        "steps_aside": sys.platform == "linux" and os.sched_getscheduler(0) == os.SCHED_IDLE,
        "errors": environ["wsgi.errors"] is sys.stderr,
    }
    return Answer(201, [(b"x-told", "Zoë".encode("latin-1"))], json.dumps(seen).encode())


if __name__ == "__main__":
    deputy.stand_in(int(sys.argv[1]), answer)
