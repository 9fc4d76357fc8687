"""When Python looks for garbage in a process that answers."""

import gc
from typing import Final

COLLECT_AFTER: Final = (20_000, 20, 20)
"""Objects, and collections of the younger ones: a burst of messages is not held up by collections of its own."""


def leave_alone_what_is_loaded() -> None:
    """What stands since the start is never garbage, but each full collection would go through it, for longer than
    a tenth of a second, while everybody waits."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECT_AFTER)
