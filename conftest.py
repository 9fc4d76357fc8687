"""Fixtures of the running product, shared by the journeys and the browser tests, and which tests stay together."""

from typing import Any

from xdist.scheduler import LoadScopeScheduling

pytest_plugins = ["tests.flows.fixtures"]

TOGETHER = {
    # These start the whole product once per process of the suite, which takes longer than all that they then do.
    "tests/flows/": "running product",
    "tests/browser/": "running product",
    # Of 64 actors at once twice beside each other, PostgreSQL's 100 connections would not suffice.
    "tests/concurrency/": "many connections",
}


class _Scheduling(LoadScopeScheduling):
    """Test by test, but what belongs together in one process."""

    def _split_scope(self, nodeid: str) -> str:
        return next((scope for folder, scope in TOGETHER.items() if nodeid.startswith(folder)), nodeid)


def pytest_xdist_make_scheduler(config: Any, log: Any) -> _Scheduling:
    return _Scheduling(config, log)
