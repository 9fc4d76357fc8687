"""The ASGI application that granian serves: Django's WSGI application behind lanes (docs/decisions/0018-lanes.md)."""

import resource
import sys
from functools import partial
from typing import Final

from django.db import connections

from cssm.common.clock import read_clock
from cssm.common.middleware import Proxies, may_be_read
from cssm.serving.collecting import leave_alone_what_is_loaded
from cssm.serving.deputy import Deputy
from cssm.serving.door import Door
from cssm.serving.front import Front
from cssm.serving.lanes import Lane
from cssm.serving.streams import Streams
from cssm.wsgi import application as django_application  # sets Django up, before any view is imported
from licensing.views.exchange import take_message

REGISTRATION_THREADS: Final = 1
MESSAGE_THREADS: Final = 3
LONG_MESSAGE_THREADS: Final = 2
OTHER_THREADS: Final = 8
"""Of each web process. Each may hold a connection to the database, that for registrations in a process of its own."""

CROWD: Final = 10
"""Registrations that wait in one process. With so many of them it takes long anyway, and nobody else shall notice."""

SWITCH_SECONDS: Final = 0.001
"""For how long a thread may keep Python while another one waits for it. A message asks for it after each statement, so
that beside a page in work Python's own 5 ms would be waited for several times over."""


def allow_many_connections() -> None:
    """Every waiting client is an open file, and systems often allow a process no more than 1,024 unless it asks."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


allow_many_connections()
sys.setswitchinterval(SWITCH_SECONDS)

proxies = Proxies.trusted()
door = Door(django_application, take=take_message, proxies=proxies, clock=read_clock)
registrations = Lane("registrations", threads=REGISTRATION_THREADS, leave=connections.close_all)
registrar = Deputy("cssm.registrar", instead=door, is_crowded=lambda: registrations.waiting >= CROWD)
application = Front(
    door,
    begin=registrar.start,
    end=registrar.close,
    register=registrar,
    registrations=registrations,
    messages=Lane("messages", threads=MESSAGE_THREADS, leave=connections.close_all),
    long_messages=Streams(django_application, threads=LONG_MESSAGE_THREADS),
    others=Streams(django_application, threads=OTHER_THREADS),
    comes_safely=partial(may_be_read, proxies=proxies),
)
leave_alone_what_is_loaded()
