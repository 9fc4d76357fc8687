"""The process beside each web process that answers its registrations: `python -m cssm.registrar DESCRIPTOR`.

Started by `cssm.asgi`, see docs/decisions/0018-lanes.md. It ends when the web process has closed its side.
"""

import os
import signal
import sys
from typing import Final

from django.core.wsgi import get_wsgi_application

from cssm.celery import load_clients
from cssm.common.clock import read_clock
from cssm.common.middleware import Proxies
from cssm.common.priority import step_back
from cssm.serving.collecting import leave_alone_what_is_loaded
from cssm.serving.deputy import stand_in
from cssm.serving.door import Door

NICENESS: Final = 10
"""A registration takes four times as long as another message, and more of them come at once than anybody can answer:
others go first. Once it is loaded only, or it would never be ready where the machine is full."""


def main(descriptor: int) -> None:
    # Whoever stops the product tells all of its processes at once, but the web process still wants its last answer.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "cssm.settings")
    # Unlike `cssm.wsgi` this loads no pages: only products that speak Call Home need any URL at all.
    application = get_wsgi_application()
    load_clients()
    from licensing.views.exchange import take_message  # noqa: PLC0415  views can be imported once Django is set up

    door = Door(application, take=take_message, proxies=Proxies.trusted(), clock=read_clock)
    leave_alone_what_is_loaded()
    step_back(NICENESS)
    stand_in(descriptor, door)


if __name__ == "__main__":
    main(int(sys.argv[1]))
