"""Records that nobody rewrites: the database itself refuses, on whichever engine."""

import pytest
from django.apps import apps
from django.db import IntegrityError, connection, migrations, transaction
from django.db.migrations.loader import MigrationLoader

from accounts.models import Event
from cssm.common.triggers import REFUSAL, RefuseChanges, trigger_name
from licensing.models import Allocation, OwnershipRecord, PurchaseLine
from licensing.states import RecordKind
from tests.licensing.stock import deliver, line, make_license

pytestmark = pytest.mark.django_db

LEDGERS = {
    "accounts.Event",
    "licensing.Allocation",
    "licensing.HierarchyVersion",
    "licensing.HistoryCompaction",
    "licensing.Order",
    "licensing.OwnershipRecord",
    "licensing.PoolTransition",
    "licensing.PurchaseLine",
    "licensing.ReservationTransition",
    "licensing.RumMeasurement",
    "licensing.RumReport",
    "licensing.TermNotice",
    "licensing.UsageChange",
    "pki.CaLogBatch",
    "pki.CaLogEntry",
    "pki.IssuingChange",
    "pki.Revocation",
}


def declared():
    """The operations in all migrations, by model label."""
    found = {}
    for (app, _), migration in MigrationLoader(connection).disk_migrations.items():
        assert isinstance(migration, migrations.Migration)
        for operation in migration.operations:
            if isinstance(operation, RefuseChanges):
                found[apps.get_model(app, operation.model_name)._meta.label] = operation
    return found


def test_exactly_the_ledgers_are_declared_append_only():
    assert set(declared()) == LEDGERS


def test_the_database_holds_every_trigger_that_was_declared():
    """SQLite drops the triggers of a table that a later migration alters: then that migration must make them again."""
    table = "pg_trigger WHERE NOT tgisinternal" if connection.vendor == "postgresql" else "sqlite_master"
    column = "tgname" if connection.vendor == "postgresql" else "name"
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {column} FROM {table}")  # noqa: S608  both are ours
        present = {name for (name,) in cursor.fetchall()}
    tables = [apps.get_model(label)._meta.db_table for label in LEDGERS]
    assert {trigger_name(name, kind) for name in tables for kind in ("update", "delete")} <= present


@pytest.fixture
def delivered(engineering, now):
    license = make_license("ROUTER", now)
    deliver(engineering, line(license, 10), now=now)
    return PurchaseLine.objects.get()


@pytest.mark.parametrize("label", sorted({"accounts.Event", "licensing.PurchaseLine", "licensing.OwnershipRecord"}))
@pytest.mark.parametrize("statement", ["UPDATE {} SET smart_account_id = smart_account_id", "DELETE FROM {}"])
def test_a_record_is_neither_changed_nor_deleted_by_whatever_statement(delivered, label, statement):
    with (
        pytest.raises(IntegrityError, match=REFUSAL.split(":")[0]),
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        cursor.execute(statement.format(apps.get_model(label)._meta.db_table))


def test_an_event_is_still_sealed(delivered):
    with connection.cursor() as cursor:
        cursor.execute("UPDATE accounts_event SET position = 7 WHERE id = %s", [Event.objects.latest("pk").pk])
    assert Event.objects.latest("pk").position == 7


def allocate(line, quantity, now, **fields):
    record = OwnershipRecord.objects.create(
        smart_account=line.smart_account,
        virtual_account=line.virtual_account,
        kind=RecordKind.TERMINATION,
        key=f"termination:{OwnershipRecord.objects.count()}",
        actor_kind="system",
        at=now,
    )
    owner = {"smart_account": line.smart_account, "virtual_account": line.virtual_account, "license": line.license}
    return Allocation.objects.create(
        **{**owner, "record": record, "line": line, "quantity": quantity, "at": now, **fields}
    )


def test_no_more_can_leave_a_line_than_it_came_with(delivered, now):
    allocate(delivered, 6, now)
    with pytest.raises(IntegrityError), transaction.atomic():
        allocate(delivered, 5, now)
    allocate(delivered, 4, now)
    assert PurchaseLine.objects.with_remaining().get().remaining == 0


@pytest.mark.parametrize("quantity", [0, -1])
def test_what_leaves_a_line_is_at_least_one(delivered, now, quantity):
    with pytest.raises(IntegrityError), transaction.atomic():
        allocate(delivered, quantity, now)


def test_an_allocation_is_of_the_account_and_license_of_its_line(delivered, now, default_va):
    with pytest.raises(IntegrityError), transaction.atomic():
        allocate(delivered, 1, now, virtual_account=default_va)
    with pytest.raises(IntegrityError), transaction.atomic():
        allocate(delivered, 1, now, license=make_license("SWITCH", now))
