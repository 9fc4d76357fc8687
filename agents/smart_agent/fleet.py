"""Many products through years of days, on one clock that jumps from one thing to do to the next."""

import heapq
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from agents.smart_agent.runner import Runner
from agents.smart_agent.schedule import DAY
from agents.smart_agent.status import authorization_state, registration_state
from agents.smart_agent.syslog import Line


@dataclass
class VirtualClock:
    """Stands still unless it is set."""

    now: datetime = field(default_factory=lambda: datetime.now(UTC))

    def __call__(self) -> datetime:
        return self.now

    @property
    def milliseconds(self) -> int:
        return int(self.now.timestamp() * 1000)

    def set(self, milliseconds: int) -> None:
        self.now = max(self.now, datetime.fromtimestamp(milliseconds / 1000, UTC))


@dataclass(frozen=True)
class Said:
    """A line of product number `product`."""

    product: int
    line: Line


def walk(
    runners: Sequence[Runner],
    *,
    clock: VirtualClock,
    days: float,
    each_day: Callable[[datetime], None] = lambda now: None,
    say: Callable[[Said], None] = lambda said: None,
) -> list[Said]:
    """Let the time pass for all of them; returns what they said. `each_day` is called at the end of every day."""
    start, end = clock.milliseconds, clock.milliseconds + int(timedelta(days=days).total_seconds() * 1000)
    heard: list[Said] = []
    queue = [(start, number) for number in range(len(runners))]
    heapq.heapify(queue)
    day = start + DAY
    while queue or day <= end:
        at = min(queue[0][0] if queue else end + 1, day)
        if at > end:
            break
        clock.set(at)
        if at == day:
            each_day(clock.now)
            day += DAY
            continue
        _, number = heapq.heappop(queue)
        for line in runners[number].step():
            heard.append(Said(number, line))
            say(heard[-1])
        following = runners[number].next_at()
        if following is not None:
            # A clock of milliseconds: what is due at this very moment comes a moment later.
            heapq.heappush(queue, (max(following, at + 1), number))
    clock.set(end)
    return heard


def summarise(runners: Sequence[Runner], heard: Sequence[Said], clock: VirtualClock) -> dict[str, Any]:
    """How many products are in which states, and how often each message was said."""
    now = clock.milliseconds
    return {
        "products": len(runners),
        "registration": dict(Counter(str(registration_state(each.state)) for each in runners)),
        "authorization": dict(Counter(str(authorization_state(each.state, now)) for each in runners)),
        "messages": dict(Counter(said.line.name for said in heard)),
    }
