"""Applying what an on-prem server says of its instances: one set-based step in one transaction, all or nothing.

Use changes in the pools by exactly the difference of what was counted before and after, of the instances concerned.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from django.db import connection, transaction

from accounts.models import SmartAccount, VirtualAccount
from accounts.services.events import record_selected_events
from accounts.states import ExportStatus
from cssm.common.actor import SYSTEM, Actor
from cssm.common.jobs import nudge
from licensing.models import License, Origin, ProductInstance, Snapshot
from licensing.services.devices import snapshot_outcome_sql as outcome_sql
from licensing.services.devices import snapshot_sql as sql
from licensing.services.devices.claims import SILENCE_RELEASES
from licensing.services.devices.endings import pass_count_on
from licensing.services.devices.snapshot_notices import record_lost_claims, tell_claims
from licensing.services.devices.snapshot_refusals import tell_refused_use
from licensing.services.pools.deltas import FOLD_TASK
from licensing.services.pools.units import ensure_pools

CONTACT_EVERY: Final = timedelta(days=1)
# The database joins sets of a whole file with each other; with its usual few megabytes it would do so on disk.
_WORK_MEMORY: Final = "64MB"
_FETCH: Final = 2_000


@dataclass(frozen=True, slots=True)
class UseChange:
    """By how much the counted use of one license in one Virtual Account grows."""

    virtual_account_id: int
    license_id: int
    quantity: int


@dataclass(frozen=True, slots=True)
class MarkedInstance:
    """Stored, or only named, and not counted; `reason` is a code."""

    external_id: str
    udi_pid: str
    udi_serial_number: str
    reason: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the snapshot changed. `added`, `removed` and `moved` hold the first UDIs of each."""

    named: int = 0
    added_count: int = 0
    returned_count: int = 0
    removed_count: int = 0
    changed_count: int = 0
    moved_count: int = 0
    use_changed_count: int = 0
    added: Sequence[str] = ()
    removed: Sequence[str] = ()
    moved: Sequence[str] = ()
    use: Sequence[UseChange] = ()
    marked: Sequence[MarkedInstance] = field(default=())


@dataclass(slots=True)
class ChangedInstance:
    """One line of the difference. `change` is a code: added, returned, moved, changed, use, removed. `use` tells by how
    much the counted use of each license grows or shrinks; `name` is the UDI."""

    change: str
    external_id: str
    name: str
    virtual_account: str
    use: str


def apply_snapshot(
    *,
    actor: Actor,
    snapshot: Snapshot,
    full: bool,
    generated: datetime,
    on_change: Callable[[ChangedInstance], None] | None = None,
    now: datetime,
) -> Outcome:
    """Make the instances and use of the snapshot's origin what it says, in the caller's transaction.

    `full` ends the instances that it does not name. `generated` is when the server wrote it. The accounts must have
    been linked (`staging.link_accounts`). `on_change` is told every instance that changes. Two of one origin wait for
    each other.
    """
    with transaction.atomic():
        Origin.objects.select_for_update().get(pk=snapshot.origin_id)
        run = _Run(actor, snapshot, full, generated, now)
        run.on_change = on_change
        try:
            return run.apply()
        finally:
            if not connection.needs_rollback:
                run.drop_tables()


def end_origin(*, actor: Actor, origin: Origin, smart_account_id: int, now: datetime) -> Outcome:
    """End every instance of the origin, in the caller's transaction: its server was removed."""
    snapshot = Snapshot.objects.create(origin=origin, smart_account_id=smart_account_id, created_at=now)
    outcome = apply_snapshot(actor=actor, snapshot=snapshot, full=True, generated=now, now=now)
    snapshot.delete()
    return outcome


class _Run:
    on_change: Callable[[ChangedInstance], None] | None = None

    def __init__(self, actor: Actor, snapshot: Snapshot, full: bool, generated: datetime, now: datetime) -> None:
        self.actor, self.snapshot, self.now = actor, snapshot, now
        self.dialect = sql.DIALECT[connection.vendor]
        stored = connection.ops.adapt_datetimefield_value
        restricted = SmartAccount.objects.filter(pk=snapshot.smart_account_id, export_status=ExportStatus.RESTRICTED)
        self.parameters: dict[str, Any] = {
            "snap": snapshot.pk,
            "origin": snapshot.origin_id,
            "sa": snapshot.smart_account_id,
            "now": stored(now),
            "generated": stored(generated),
            "lapse": stored(now - SILENCE_RELEASES),
            "refresh": stored(generated - CONTACT_EVERY),
            "restricted": restricted.exists(),
            "full": full,
        }

    def apply(self) -> Outcome:
        self.drop_tables()
        if connection.vendor == "postgresql":
            with connection.cursor() as cursor:
                cursor.execute("SELECT set_config('work_mem', %s, true)", [_WORK_MEMORY])
        self.run(sql.NAMED)
        self.prepare("snap_named")
        self.run(sql.GONE)
        self.prepare("snap_gone")
        self.run(*sql.MAKE, *sql.USE)
        self.prepare("snap_use", "snap_use_gone")
        self.run(*sql.CLAIMS)
        self.prepare("snap_candidate")
        self.run(sql.NEW_CLAIMS)
        if connection.vendor == "postgresql":
            self.run(sql.LOCK_CLAIMS)
        self.run(sql.VERDICT, sql.AFFECTED)
        self.prepare("snap_verdict", "snap_affected")
        self.run(sql.AFFECTED_PEERS)
        self.run(sql.BEFORE)
        record_lost_claims(dialect=self.dialect, parameters=self.parameters, now=self.now)
        losers = self.find_losers()
        self.run(*sql.CHANGE_ROWS, sql.CHANGE)
        tell_claims(dialect=self.dialect, parameters=self.parameters, now=self.now)
        tell_refused_use(dialect=self.dialect, parameters=self.parameters)
        use = [UseChange(va, license_id, int(quantity)) for va, license_id, quantity in self.rows(sql.USE_BY_POOL)]
        if use:
            self.ensure_pools(use)
            self.run(sql.DELTAS)
            nudge(FOLD_TASK)
        for loser in losers:
            pass_count_on(actor=SYSTEM, instance=loser, now=self.now)
        if self.on_change is not None:
            for row in self.stream(outcome_sql.CHANGES):
                self.on_change(ChangedInstance(*row))
        return self.tell(use)

    def find_losers(self) -> list[ProductInstance]:
        """Who counts for others of its group and loses its UDI to what the file names; before the rows change."""
        ids = [pk for (pk,) in self.rows(sql.LOSERS_IN_GROUPS)]
        return list(ProductInstance.objects.filter(pk__in=ids).order_by("pk"))

    def tell(self, use: Sequence[UseChange]) -> Outcome:
        samples = {name: self.record(name, statement) for name, statement in outcome_sql.EVENTS.items()}
        ((added, returned, changed, moved, named),) = self.rows(outcome_sql.COUNTS)
        ((removed,),) = self.rows(outcome_sql.COUNT_GONE)
        ((use_changed,),) = self.rows(outcome_sql.COUNT_USE)
        return Outcome(
            named=int(named),
            added_count=int(added),
            returned_count=int(returned),
            removed_count=int(removed),
            changed_count=int(changed),
            moved_count=int(moved),
            use_changed_count=int(use_changed),
            added=samples["instance.synchronized_in"],
            removed=samples["instance.synchronized_out"],
            moved=samples["instance.moved_by_server"],
            use=use,
            marked=[MarkedInstance(*row) for row in self.rows(outcome_sql.MARKED)],
        )

    def record(self, name: str, statement: str) -> list[str]:
        """One event for each row; returns the first UDIs."""
        concerned = statement.format(**self.dialect)
        recorded = record_selected_events(
            actor=self.actor,
            name=name,
            smart_account_id=self.snapshot.smart_account_id,
            rows=outcome_sql.EVENT.format(concerned=concerned, **self.dialect),
            parameters={**self.parameters, "server": self.actor.label},
            now=self.now,
        )
        return [udi for (udi,) in self.rows(outcome_sql.SAMPLE_OF.format(concerned=concerned))] if recorded else []

    def ensure_pools(self, use: Sequence[UseChange]) -> None:
        """The pools of all that changed, made where missing, Virtual Account by Virtual Account in one order."""
        wanted: dict[int, set[int]] = {}
        for change in use:
            wanted.setdefault(change.virtual_account_id, set()).add(change.license_id)
        owners = dict(VirtualAccount.objects.filter(pk__in=wanted).values_list("pk", "smart_account_id"))
        for virtual_account_id in sorted(wanted):
            ensure_pools(
                smart_account_id=owners[virtual_account_id],
                virtual_account_id=virtual_account_id,
                licenses=License.objects.filter(pk__in=wanted[virtual_account_id]),
            )

    def run(self, *statements: str) -> None:
        with connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement.format(**self.dialect), self.parameters)

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        with connection.cursor() as cursor:
            cursor.execute(statement.format(**self.dialect), self.parameters)
            fetched: list[tuple[Any, ...]] = cursor.fetchall()
            return fetched

    def stream(self, statement: str) -> Iterator[tuple[Any, ...]]:
        with connection.cursor() as cursor:
            cursor.execute(statement.format(**self.dialect), self.parameters)
            while rows := cursor.fetchmany(_FETCH):
                yield from rows

    def prepare(self, *tables: str) -> None:
        """The planner knows nothing of rows written a moment ago, and would look each of them up one by one:
        PostgreSQL's is told of them; SQLite's, which only ever nests loops, is given indexes."""
        with connection.cursor() as cursor:
            for table in tables:
                if connection.vendor == "postgresql":
                    cursor.execute(f"ANALYZE {table}")
                    continue
                for column in sql.LOOKED_UP_BY.get(table, ()):
                    cursor.execute(f"CREATE INDEX temp.{table}_{column} ON {table} ({column})")

    def drop_tables(self) -> None:
        with connection.cursor() as cursor:
            for table in sql.TABLES:
                cursor.execute(f"DROP TABLE IF EXISTS {table}")
