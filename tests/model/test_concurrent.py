"""Eight actors at once do everything that the model knows; the auditor looks on, and over all of it after each round.

What happens is as random as the database's choice of who goes first: `SEED=…` repeats what the actors try, not the
order. Any error but a refusal is a failure, so a deadlock that reached a user would be one too.
"""

import os
import random
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import pytest
from django.db import connection, transaction

from licensing.models import PoolDelta
from tests.concurrency.threads import run_at_once
from tests.model.auditor import audit
from tests.model.books import read_books
from tests.model.world import TAGS, World

pytestmark = [pytest.mark.postgresql, pytest.mark.django_db(transaction=True)]

SEED = int(os.environ.get("SEED") or 20260302)
# Each part begins in a world of its own: the auditor reads all of it after every round.
OPERATIONS, PARTS = (100_000, 20) if os.environ.get("SOAK") else (2_000, 1)
ACTORS, AT_ONCE, LOOKS = 8, 25, 2
ROUNDS = OPERATIONS // PARTS // ACTORS // AT_ONCE

NAMES = ("A1", "A2", "A3", "A4", "B1", "B2")
KINDS = ("PERPETUAL", "TERM", "SUBSCRIPTION")
PRECEDENCES = ("LONGEST_TERM_FIRST", "SHORTEST_TERM_FIRST")
DAY = timedelta(days=1)
PAUSES = (timedelta(minutes=1), timedelta(hours=7), DAY, 3 * DAY)


class Member:
    """One of the actors, with products of its own, which it alone speaks for; whoever may, moves or removes any."""

    def __init__(self, world: World, number: int, part: int) -> None:
        self.world, self.chance = world, random.Random((SEED * PARTS + part) * ACTORS + number)
        self.own = [number, number + ACTORS, number + 2 * ACTORS]
        self.acts: tuple[tuple[int, Callable[[datetime], Any]], ...] = (
            (30, self.report),
            (14, self.transfer),
            (10, self.register),
            (10, self.deliver),
            (8, self.move),
            (6, self.terminate),
            (5, self.leave),
            (5, world.fold),
            (4, self.correct),
            (3, self.change_catalog),
            (3, world.follow),
            (2, self.make_or_drop),
        )

    def work(self, now: datetime) -> None:
        weights, acts = [weight for weight, _ in self.acts], [act for _, act in self.acts]
        for act in self.chance.choices(acts, weights, k=AT_ONCE):
            act(now)

    def report(self, now: datetime) -> None:
        counts = {tag: self.chance.randint(0, 15) for tag in self.chance.sample(TAGS, self.chance.randint(0, 4))}
        self.world.report(self.chance.choice(self.own), counts, now)

    def register(self, now: datetime) -> None:
        self.world.register(self.chance.choice(self.own), self.chance.choice(NAMES), now)

    def leave(self, now: datetime) -> None:
        if self.chance.random() < 0.5:
            self.world.deregister(self.chance.choice(self.own), now)
        else:
            self.world.remove(self.chance.choice(list(self.world.products) or self.own), now)

    def move(self, now: datetime) -> None:
        products = list(self.world.products) or self.own
        moved = self.chance.sample(products, min(len(products), self.chance.randint(1, 3)))
        self.world.move(moved, self.chance.choice(NAMES), now)

    def deliver(self, now: datetime) -> None:
        lines = [
            (
                self.chance.choice(TAGS),
                self.chance.randint(1, 12),
                self.chance.choice(KINDS),
                self.chance.choice((None, None, -3 * DAY, DAY, 5 * DAY)),
                self.chance.choice((None, 7 * DAY, 11 * DAY, 36 * DAY)),
            )
            for _ in range(self.chance.randint(1, 3))
        ]
        self.world.deliver(self.chance.choice(NAMES), lines, now)

    def transfer(self, now: datetime) -> None:
        lines = [
            (self.chance.choice(TAGS), self.chance.randint(1, 6), self.chance.choice(NAMES), *self._choose_lines())
            for _ in range(self.chance.randint(1, 3))
        ]
        self.world.transfer(self.chance.choice(NAMES), lines, now)

    def terminate(self, now: datetime) -> None:
        name, tag, quantity = self.chance.choice(NAMES), self.chance.choice(TAGS), self.chance.randint(1, 6)
        self.world.terminate(name, tag, quantity, *self._choose_lines(), now)

    def correct(self, now: datetime) -> None:
        name, tag = self.chance.choice(NAMES), self.chance.choice(TAGS)
        self.world.correct(name, tag, self.chance.randint(0, 3), self.chance.randint(-8, 8), now)

    def change_catalog(self, now: datetime) -> None:
        higher = self.chance.choice(("", *TAGS))
        self.world.change_catalog(self.chance.choice(TAGS), higher, self.chance.random() < 0.5, now)

    def make_or_drop(self, now: datetime) -> None:
        do = self.chance.choice((self.world.make_account, self.world.drop_account))
        do(self.chance.choice(("A4", "B2")), now)

    def _choose_lines(self) -> tuple[str | None, str]:
        return self.chance.choice((None, None, *KINDS)), self.chance.choice(PRECEDENCES)


def look_on(world: World, now: datetime) -> list[str]:
    """Audits of snapshots, while the others work: figures are right at every moment, not only when all is quiet."""
    found = []
    for turn in range(LOOKS):
        with transaction.atomic():
            with connection.cursor() as cursor:
                cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            # METERED may become so at any moment, and its transitions are judged by whether it ever was.
            found += audit(read_books(), now, metered=frozenset({"METERED"}), turn=turn)
    return found


def judge(world: World, now: datetime) -> list[str]:
    books = read_books()
    return [*audit(books, now, metered=frozenset(world.metered)), *world.findings(books)]


@pytest.mark.soak
@pytest.mark.parametrize("part", range(PARTS))
def test_eight_actors_at_once_leave_every_figure_as_the_records_say(make_world, now, part):
    world = make_world(*NAMES)
    members = [Member(world, number, part) for number in range(ACTORS)]
    pauses = random.Random(SEED * PARTS + part)
    print(f"SEED={SEED}")  # noqa: T201  shown where it fails
    for number in range(ROUNDS):
        *_, looked = run_at_once(*(partial(each.work, now) for each in members), partial(look_on, world, now))
        found = looked + judge(world, now)
        assert not found, f"round {number}:\n" + "\n".join(found)
        # What the round has left for later is done, and changes no figure.
        assert (world.follow(now), world.fold(now)) == (None, None)
        assert not PoolDelta.objects.exists()
        found = judge(world, now)
        assert not found, f"after the fold of round {number}:\n" + "\n".join(found)
        print(f"{(number + 1) * ACTORS * AT_ONCE} operations")  # noqa: T201  with -s, how far a long run has come
        now += pauses.choice(PAUSES)
