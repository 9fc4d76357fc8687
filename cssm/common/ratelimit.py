"""Limits on how often something may happen, shared by all processes through the cache.

A sliding window over two counters: what was counted in the window before weighs by how much of it is still in sight.
Counters only ever grow by the cache's atomic `incr`, so that nothing is lost when many count at once.
"""

import math
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from django.core.cache import cache

TRUST_SECONDS: Final = 1.0
MOST_REMEMBERED: Final = 10_000

# When this process last asked the cache about a key, and what it was told: asking for every request costs a round trip.
_asked: dict[str, tuple[float, int]] = {}
# The counters of windows that are over, as this process last read them: they do not change any more.
_over: dict[str, int] = {}


def forget_limits() -> None:
    """Forget what this process was told; what the cache counts stays."""
    _asked.clear()
    _over.clear()


@dataclass(frozen=True, slots=True)
class Limit:
    """`per_second` on average, `burst` at once. The window is as long as a burst takes at the average."""

    name: str
    per_second: float
    burst: int

    @property
    def window_seconds(self) -> float:
        return self.burst / self.per_second

    def take(self, key: str, *, now: datetime) -> int:
        """Count one; 0 if it is within the limit, else after how many seconds another try makes sense (not counted)."""
        _asked.pop(f"{self.name}:{key}", None)
        number, passed = self._place(now)
        current = self._name(key, number)
        counted = _count(current, timeout=math.ceil(2 * self.window_seconds) + 1)
        if self._before(key, number, passed) + counted <= self.burst:
            return 0
        cache.decr(current)
        return self._wait()

    def wait(self, key: str, *, now: datetime) -> int:
        """As `take`, without counting. What this process did not count itself, it may learn of a second later."""
        name = f"{self.name}:{key}"
        asked_at, answer = _asked.get(name, (-1.0, 0))
        if 0 <= now.timestamp() - asked_at < TRUST_SECONDS:
            return answer
        number, passed = self._place(now)
        current, before = self._name(key, number), self._name(key, number - 1)
        found = cache.get_many([current, before])
        filled = math.floor(found.get(before, 0) * (1 - passed)) + found.get(current, 0)
        answer = 0 if filled < self.burst else self._wait()
        if len(_asked) >= MOST_REMEMBERED:
            _asked.clear()
        _asked[name] = (now.timestamp(), answer)
        return answer

    def _place(self, now: datetime) -> tuple[int, float]:
        """Which window it is, and how much of it has passed."""
        windows = now.timestamp() / self.window_seconds
        return int(windows), windows % 1

    def _before(self, key: str, number: int, passed: float) -> int:
        name = self._name(key, number - 1)
        if (counted := _over.get(name)) is None:
            if len(_over) >= MOST_REMEMBERED:
                _over.clear()
            counted = _over[name] = cache.get(name, 0)
        return math.floor(counted * (1 - passed))

    def _wait(self) -> int:
        return max(1, math.ceil(1 / self.per_second))

    def _name(self, key: str, number: int) -> str:
        return f"limit:{self.name}:{number}:{key}"


def _count(name: str, *, timeout: int) -> int:
    """One more of a counter; the embedded caches take two steps, between which they may drop it."""
    if (count := getattr(cache, "count", None)) is not None:
        return int(count(name, timeout))
    cache.add(name, 0, timeout=timeout)
    try:
        return cache.incr(name)
    except ValueError:  # it then counts from here
        return 0
