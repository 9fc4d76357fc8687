"""Statements that are given to libpq directly: they answer, fail and roll back as a cursor's do."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import psycopg
import pytest
from django.db import DataError, IntegrityError, OperationalError, connection, transaction

from accounts.models import SmartAccount
from cssm.common.postgresql import direct
from tests.common.test_postgresql import planned

pytestmark = [pytest.mark.postgresql, pytest.mark.django_db(transaction=True)]

VALUES: tuple[Any, ...] = (
    7,
    2**40,
    1.5,
    True,
    None,
    "a'b\\c %",
    b"\x00\xff",
    UUID(int=5),
    datetime(2026, 6, 1, 12, 30, 15, 123456, tzinfo=UTC),
    [1, 2, 3],
)
TYPES = ("int", "bigint", "float8", "boolean", "text", "text", "bytea", "uuid", "timestamptz", "int[]")


@pytest.fixture
def other() -> Iterator[Any]:
    """A connection of its own, which a test may break."""
    copy = connection.copy()
    yield copy
    copy.close()


def ask(engine: Any, sql: str, values: Any = ()) -> list[tuple[Any, ...]]:
    with engine.prepared_cursor() as cursor:
        cursor.execute(sql, values)
        rows: list[tuple[Any, ...]] = cursor.fetchall()
        return rows


def test_values_come_and_go_as_by_a_cursor():
    sql = "SELECT " + ", ".join(f"%s::{kind}" for kind in TYPES)
    with connection.cursor() as cursor:
        cursor.execute(sql, VALUES)
        expected = cursor.fetchone()
    for _ in range(2):  # planned, and run again
        [found] = ask(connection, sql, VALUES)
        assert repr(found) == repr(expected)
    assert expected[:6] == VALUES[:6]


def test_the_sizes_of_numbers_and_nothing_at_all_share_a_text():
    for value in (1, 2**20, 2**40, None, -(2**62), 3):
        assert ask(connection, "SELECT %s::bigint AS any_size", [value]) == [(value,)]
    assert len([text for text in planned() if "any_size" in text]) == 4


def test_a_name_stands_for_one_value_wherever_it_is_and_two_percent_signs_for_one():
    sql = "SELECT %(b)s::int - %(a)s::int, %(b)s::int, 7 %% 4, 'x' LIKE '%%'"
    assert ask(connection, sql, {"a": 1, "b": 5, "unused": 9}) == [(4, 5, 3, True)]


def test_a_change_tells_how_many_rows_it_hit(acme, umbrella):
    with connection.prepared_cursor() as cursor:
        cursor.execute("UPDATE accounts_smartaccount SET name = name WHERE id = ANY(%s)", [[acme.pk, umbrella.pk]])
        assert (cursor.rowcount, cursor.fetchall()) == (2, [])
        cursor.execute("SELECT id FROM accounts_smartaccount WHERE id = ANY(%s) ORDER BY id", [[acme.pk, umbrella.pk]])
        assert cursor.rowcount == 2
        assert [cursor.fetchone(), cursor.fetchall(), cursor.fetchone()] == [(acme.pk,), [(umbrella.pk,)], None]


def test_what_goes_wrong_is_told_in_djangos_words_and_a_savepoint_mends_it(acme):
    with transaction.atomic():
        for wrong, sql in (
            (DataError, "SELECT %s::text::int"),
            (IntegrityError, "INSERT INTO accounts_smartaccount (id, name) VALUES (1, %s)"),
        ):
            with pytest.raises(wrong) as caught, transaction.atomic():
                ask(connection, sql, ["x"])
            assert caught.value.__cause__.diag.sqlstate
        assert ask(connection, "SELECT %s::int", [1]) == [(1,)]


def test_a_transaction_begins_with_the_first_statement_and_is_undone_whole(acme):
    with transaction.atomic():
        ask(connection, "UPDATE accounts_smartaccount SET name = 'gone' WHERE id = %s", [acme.pk])
        transaction.set_rollback(True)
    assert SmartAccount.objects.get(pk=acme.pk).name == acme.name


def test_a_transaction_is_isolated_as_the_settings_say(other):
    other.settings_dict["OPTIONS"] = {**other.settings_dict["OPTIONS"], "isolation_level": 4}
    other.ensure_connection()
    other.set_autocommit(False)
    assert ask(other, "SHOW transaction_isolation") == [("serializable",)]
    other.rollback()
    other.set_autocommit(True)


def test_after_a_rollback_statements_are_still_ready(acme):
    """psycopg lets go of all statements of a connection where it has prepared one itself."""
    ask(connection, "SELECT %s::int AS still_ready", [1])
    with transaction.atomic():
        SmartAccount.objects.filter(pk=acme.pk).update(name="x")
        transaction.set_rollback(True)
    with transaction.atomic():
        ask(connection, "SELECT %s::int AS still_ready", [1])
        assert ask(connection, "SELECT %s::int AS still_ready", [2]) == [(2,)]


def test_only_so_many_statements_are_kept(other, monkeypatch):
    monkeypatch.setattr(direct, "MOST_STATEMENTS", 3)
    for round_ in range(2):
        for number in range(5):
            assert ask(other, f"SELECT %s::int AS kept_{number}", [round_]) == [(round_,)]
    [(kept,)] = ask(other, "SELECT COUNT(*) FROM pg_prepared_statements")
    assert kept <= 3
    assert len(other._direct._statements) <= 3


def test_a_connection_that_is_gone_fails_as_one_and_the_next_request_has_a_new_one(other):
    other.ensure_connection()
    [(pid,)] = ask(other, "SELECT pg_backend_pid()")
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])
    for _ in range(2):  # while it is found out, and once it is known
        with pytest.raises(OperationalError):
            ask(other, "SELECT 1")
    other.close_if_unusable_or_obsolete()
    assert ask(other, "SELECT 1") == [(1,)]


def test_nothing_is_sent_by_a_connection_that_was_closed(other):
    other.ensure_connection()
    statements = direct.Statements(other.connection)
    other.close()
    with pytest.raises(psycopg.OperationalError):
        statements.run("SELECT 1", [])


def test_the_log_of_statements_shows_them(django_assert_num_queries):
    with django_assert_num_queries(1) as captured:
        ask(connection, "SELECT %s::int AS logged", [1])
    assert "AS logged" in captured.captured_queries[0]["sql"]
