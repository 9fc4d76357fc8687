"""Who goes first where several share a machine."""

import os
import sys
import threading
from contextlib import suppress


def step_back(niceness: int) -> None:
    """Give this thread, and those that it starts from now on, a lower priority; never a higher one.

    Only on Linux a thread has one of its own; elsewhere nothing is done.
    """
    if sys.platform != "linux":
        return
    with suppress(OSError):
        thread = threading.get_native_id()
        os.setpriority(os.PRIO_PROCESS, thread, max(niceness, os.getpriority(os.PRIO_PROCESS, thread)))


def step_aside() -> None:
    """Have this thread run only where nobody else wants the processor, which it gives up at once to whoever does.

    It cannot be taken back. Only on Linux; elsewhere nothing is done.
    """
    if sys.platform != "linux":
        return
    with suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
