"""The engine for PostgreSQL: statements that stay planned, and connections that are not asked all the time."""

from typing import Any

import pytest
from django.db import connection, connections

from accounts.models import VirtualAccount
from cssm.common.compiled import CompiledInsert
from cssm.common.postgresql import base
from cssm.common.statements import prepared_cursor

pytestmark = [pytest.mark.postgresql, pytest.mark.django_db]
ACCOUNTS = CompiledInsert(VirtualAccount)


def planned() -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT statement FROM pg_prepared_statements")
        return [row[0] for row in cursor.fetchall()]


def test_a_prepared_statement_is_planned_once_and_run_with_other_values():
    for value in (1, 2):
        with prepared_cursor() as cursor:
            cursor.execute("SELECT %s::int + 40 AS planned_once", [value])
            assert cursor.fetchone() == (40 + value,)
    assert len([text for text in planned() if "planned_once" in text]) == 1


def test_where_a_pooler_keeps_no_statements_none_is_planned():
    engine: Any = connection.copy()
    engine.settings_dict["OPTIONS"] = {**engine.settings_dict["OPTIONS"], "prepare_threshold": None}
    for _ in range(2):
        with engine.prepared_cursor() as cursor:
            cursor.execute("SELECT COUNT(*) FROM pg_prepared_statements WHERE NOT %s", [False])
            assert cursor.fetchone() == (0,)
    engine.close()


def test_a_connection_that_just_answered_is_not_asked_again(monkeypatch):
    engine, asked, counts = connections["default"], [], []

    def ask(_self):
        asked.append(True)
        return True

    monkeypatch.setattr(type(engine), "is_usable", ask)
    monkeypatch.setattr(engine, "health_check_enabled", True)
    monkeypatch.setattr(engine, "_answered_at", float("-inf"))
    for moment in (100.0, 100.9, 101.1):
        monkeypatch.setattr(base, "monotonic", lambda moment=moment: moment)
        engine.health_check_done = False
        engine.close_if_health_check_failed()
        counts.append(len(asked))
    assert counts == [1, 1, 2]
