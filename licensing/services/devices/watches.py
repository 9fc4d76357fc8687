"""When to look at an instance for the first time."""

from datetime import datetime, timedelta
from typing import Final

from cssm.common.compiled import CompiledInsert
from licensing.models import InstanceWatch

FIRST_LOOK: Final = timedelta(days=90)
"""Nothing can be due earlier: an authorization is good for 90 days, and all other timers are longer."""

_WATCHES: Final = CompiledInsert(InstanceWatch)


def watch_instance(*, instance_id: int, now: datetime) -> None:
    """In the transaction of the registration."""
    _WATCHES.add(InstanceWatch(instance_id=instance_id, due_at=now + FIRST_LOOK))
