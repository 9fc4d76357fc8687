from datetime import timedelta

import pytest
from django.core.cache import cache

from cssm.common import ratelimit
from cssm.common.ratelimit import Limit

LIMIT = Limit("test", per_second=2, burst=10)


@pytest.fixture(autouse=True)
def _empty_cache():
    cache.clear()
    ratelimit._asked.clear()
    yield
    cache.clear()


@pytest.fixture
def start(now):
    """The beginning of a window, which is 5 seconds long."""
    return now - timedelta(seconds=now.timestamp() % 5)


def test_a_burst_goes_through_and_the_next_one_waits(start):
    assert [LIMIT.take("a", now=start) for _ in range(11)] == [0] * 10 + [1]


def test_what_is_refused_is_not_counted(start):
    for _ in range(50):
        LIMIT.take("a", now=start)
    later = start + timedelta(seconds=7.5)
    assert [LIMIT.take("a", now=later) for _ in range(6)] == [0] * 5 + [1]


def test_in_the_long_run_it_is_the_average(start):
    seconds = 60
    accepted = sum(LIMIT.take("a", now=start + timedelta(seconds=tenth / 10)) == 0 for tenth in range(seconds * 10))
    assert 0.95 * LIMIT.per_second * seconds <= accepted <= LIMIT.per_second * seconds + LIMIT.burst


def test_keys_and_names_are_counted_apart(start):
    for _ in range(10):
        LIMIT.take("a", now=start)
    assert LIMIT.take("b", now=start) == 0
    assert Limit("other", per_second=2, burst=10).take("a", now=start) == 0


def test_asking_counts_nothing(start):
    assert [LIMIT.wait("a", now=start) for _ in range(20)] == [0] * 20
    for _ in range(10):
        LIMIT.take("a", now=start)
    assert LIMIT.wait("a", now=start) == 1
    assert LIMIT.wait("a", now=start + timedelta(seconds=10)) == 0


def test_what_another_process_counts_is_known_a_second_later(start, monkeypatch):
    assert LIMIT.wait("shared", now=start) == 0
    mine = dict(ratelimit._asked)
    for _ in range(10):
        LIMIT.take("shared", now=start)
    monkeypatch.setattr(ratelimit, "_asked", mine)
    assert LIMIT.wait("shared", now=start + timedelta(seconds=0.9)) == 0
    assert LIMIT.wait("shared", now=start + timedelta(seconds=1)) == 1


@pytest.mark.skipif(not hasattr(cache, "count"), reason="needs Redis: set CACHE_URL=redis://…")
def test_a_counter_in_redis_counts_from_one_and_does_not_outlive_its_window():
    assert [cache.count("windows", 60) for _ in range(3)] == [1, 2, 3]
    client = cache._cache.get_client()
    assert 0 < client.ttl(cache.make_key("windows")) <= 60
