"""Any sequence of operations leaves every figure as the records say, at every step (hypothesis, stateful).

A failure prints the shortest sequence that shows it. `SEED=…` chooses other courses, `SOAK=1` makes 100,000 operations
instead of 2,000.

A new kind of operation is a method of `World` and a rule here; what it does to figures belongs into `figures.py`, what
was used up into `draws.py`.
"""

import os
from collections import Counter
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.core.cache import cache
from django.db import connection, transaction
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from licensing.models import PoolDelta
from licensing.services.catalog.lookup import forget_licenses
from tests.model.auditor import audit
from tests.model.books import Books, read_books
from tests.model.draws import audit_draws, audit_refusal
from tests.model.world import TAGS, World

pytestmark = pytest.mark.django_db

SEED = int(os.environ.get("SEED") or 20260302)
SOAK = bool(os.environ.get("SOAK"))
OPERATIONS, PARTS, STEPS = 100_000 if SOAK else 2_000, 4, 50

NAMES = ("A1", "A2", "A3", "B1", "B2")
DAYS = st.sampled_from([1, 2, 5, 10, 30, 60])
names = st.sampled_from(NAMES)
tags = st.sampled_from(TAGS)
quantities = st.integers(1, 12)
numbers = st.integers(0, 5)
kinds = st.sampled_from(["PERPETUAL", "TERM", "SUBSCRIPTION"])
wanted_kinds = st.sampled_from([None, None, "PERPETUAL", "TERM", "SUBSCRIPTION"])
precedences = st.sampled_from(["LONGEST_TERM_FIRST", "SHORTEST_TERM_FIRST"])
starts = st.sampled_from([None, None, timedelta(days=-3), timedelta(days=1), timedelta(days=5)])
ends = st.one_of(st.none(), st.builds(lambda days: timedelta(days=6 + days), DAYS))
order_lines = st.lists(st.tuples(tags, quantities, kinds, starts, ends), min_size=1, max_size=3)
transfer_lines = st.lists(st.tuples(tags, quantities, names, wanted_kinds, precedences), min_size=1, max_size=3)
uses = st.dictionaries(tags, st.integers(0, 15), max_size=4)


class Courses(RuleBasedStateMachine):
    """One course of events; it begins in an empty world, and what it did is rolled back after it."""

    first: World
    beginning: datetime

    def __init__(self) -> None:
        super().__init__()
        self.rollback = transaction.atomic()
        self.rollback._from_testcase = True  # as the block around a test: registrations begin durable ones inside
        self.rollback.__enter__()
        cache.clear()
        forget_licenses()
        self.now, self.turn = self.beginning, 0
        self.seen: object = None
        self.world = replace(self.first, owned=Counter(), products={}, metered=set(self.first.metered))

    def teardown(self) -> None:
        try:
            self._audit(read_books(), turn=None)
            connection.check_constraints()
        finally:
            transaction.set_rollback(True)
            self.rollback.__exit__(None, None, None)

    @rule(name=names, lines=order_lines)
    def deliver(self, name: str, lines: Any) -> None:
        self.world.deliver(name, lines, self.now)

    @rule(number=numbers, name=names)
    def register(self, number: int, name: str) -> None:
        self.world.register(number, name, self.now)

    @precondition(lambda self: self.world.products)
    @rule(number=numbers, counts=uses)
    def report(self, number: int, counts: dict[str, int]) -> None:
        self.world.report(number, counts, self.now)

    @precondition(lambda self: self.world.products)
    @rule(number=numbers, by_itself=st.booleans())
    def end(self, number: int, by_itself: bool) -> None:
        (self.world.deregister if by_itself else self.world.remove)(number, self.now)

    @precondition(lambda self: self.world.products)
    @rule(moved=st.lists(numbers, min_size=1, max_size=3, unique=True), name=names)
    def move(self, moved: list[int], name: str) -> None:
        self.world.move(moved, name, self.now)

    @precondition(lambda self: self.world.owned)
    @rule(name=names, lines=transfer_lines)
    def transfer(self, name: str, lines: Any) -> None:
        before = read_books()
        refused = self.world.transfer(name, lines, self.now)
        only = lines[0] if len(lines) == 1 and lines[0][3] is None else None
        self._judge(before, refused, name, only[0] if only else None, lines[0][1])

    @precondition(lambda self: self.world.owned)
    @rule(name=names, tag=tags, quantity=quantities, kind=wanted_kinds, precedence=precedences)
    def terminate(self, name: str, tag: str, quantity: int, kind: str | None, precedence: str) -> None:
        before = read_books()
        refused = self.world.terminate(name, tag, quantity, kind, precedence, self.now)
        self._judge(before, refused, name, None if kind else tag, quantity)

    @precondition(lambda self: self.world.owned)
    @rule(name=names, tag=tags, which=st.integers(0, 3), quantity=st.integers(-8, 8))
    def correct(self, name: str, tag: str, which: int, quantity: int) -> None:
        self.world.correct(name, tag, which, quantity, self.now)

    @rule(tag=tags, higher=st.sampled_from(["", *TAGS]), metered=st.booleans())
    def change_catalog(self, tag: str, higher: str, metered: bool) -> None:
        self.world.change_catalog(tag, higher, metered, self.now)

    @rule()
    def follow(self) -> None:
        assert self.world.follow(self.now) is None
        assert not read_books().changing

    @rule()
    def fold(self) -> None:
        assert self.world.fold(self.now) is None
        assert not PoolDelta.objects.exists()

    @rule(time=st.sampled_from([timedelta(minutes=1), timedelta(days=1), timedelta(days=4), timedelta(days=11)]))
    def wait(self, time: timedelta) -> None:
        self.now += time

    @rule(name=st.sampled_from(["A3", "B2"]))
    def make_account(self, name: str) -> None:
        self.world.make_account(name, self.now)

    @rule(name=st.sampled_from(["A3", "B2"]))
    def drop_account(self, name: str) -> None:
        self.world.drop_account(name, self.now)

    @invariant()
    def every_figure_is_what_the_records_say(self) -> None:
        books = read_books()
        # Many steps are refused and change nothing: what was audited a moment ago is as it was.
        if (self.now, books) != self.seen:
            self.turn += 1
            self._audit(books, turn=self.turn)
            self.seen = (self.now, books)

    def _audit(self, books: Books, turn: int | None) -> None:
        found = audit(books, self.now, metered=frozenset(self.world.metered), turn=turn)
        found += self.world.findings(books)
        assert not found, "\n".join(found)

    def _judge(self, before: Any, refused: str | None, name: str, tag: str | None, quantity: int) -> None:
        """What was taken was free, and what was refused was not."""
        found = list(audit_draws(before, read_books(), self.now))
        if refused and tag and any(row["name"] == name and not row["deleted_at"] for row in before.accounts.values()):
            license_id = next(pk for pk, row in before.licenses.items() if row["tag"] == tag)
            key = (self.world.find(name).pk, license_id)
            found += audit_refusal(before, refused, key, quantity, self.now)
        assert not found, "\n".join(found)


# Where PostgreSQL is, as many operations of eight actors at once are judged beside these: one part says enough.
@pytest.mark.soak
@pytest.mark.parametrize("part", range(PARTS if SOAK or not django_settings.IS_POSTGRESQL else 1))
def test_every_figure_is_right_at_every_step(make_world, now, part):
    Courses.first, Courses.beginning = make_world(*NAMES), now
    print(f"SEED={SEED}")  # noqa: T201  shown where it fails
    run_state_machine_as_test(
        seed(SEED + part)(Courses),
        settings=settings(
            max_examples=OPERATIONS // PARTS // STEPS,
            stateful_step_count=STEPS,
            deadline=None,
            database=None,
            phases=[Phase.generate, Phase.shrink],
            suppress_health_check=list(HealthCheck),
        ),
    )
