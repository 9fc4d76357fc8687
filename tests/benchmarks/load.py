"""Run as a program beside an empty database: fills in so many instances that use one of so many licenses each.

`load.py INSTANCES POOLS`; a second run adds what is missing. Columns that are not named here get their model's default,
so that a new one does not stop the benchmark.
"""

import sys
from typing import Any

import django

django.setup()

from django.db import connection, transaction  # noqa: E402  settings come first
from django.db.models import NOT_PROVIDED, Model  # noqa: E402  settings come first

from licensing import models  # noqa: E402  settings come first

ACCOUNT = {"smart_account_id": "g.smart_account_id", "virtual_account_id": "g.virtual_account_id"}
VA = "FROM accounts_virtualaccount g, generate_series(1, {new}) WHERE g.name = 'Data Center'"
GROUPS = "FROM licensing_hagroup g, licensing_origin o WHERE o.name = 'direct' AND NOT EXISTS ({known})"
INSTANCE = "SELECT 1 FROM licensing_productinstance i WHERE i.ha_group_id = g.id"
CONTACTLESS = """FROM licensing_productinstance g WHERE g.udi_pid = 'LOAD'
    AND NOT EXISTS (SELECT 1 FROM licensing_instancecontact c WHERE c.instance_id = g.id)"""
UNUSED = """FROM licensing_productinstance g
    JOIN (SELECT id, tag, row_number() OVER (ORDER BY id) AS n FROM licensing_license WHERE tag LIKE 'load-%%') l
      ON l.n = 1 + g.id %% {pools}
    WHERE g.udi_pid = 'LOAD' AND NOT EXISTS (SELECT 1 FROM licensing_usage u WHERE u.instance_id = g.id)"""


def fill(model: type[Model], source: str, **columns: str) -> None:
    """INSERT … SELECT with these expressions, and the default of every other column that needs a value."""
    defaults: dict[str, Any] = {}
    for field in model._meta.concrete_fields:
        if field.column not in columns and not field.primary_key and not field.null:
            value = field.get_default()
            if field.default is NOT_PROVIDED and value is None:
                raise ValueError(f"{model.__name__}.{field.name} needs a value")
            defaults[str(field.column)] = field.get_db_prep_save(value, connection)
    names = ", ".join(f'"{name}"' for name in [*columns, *defaults])
    values = ", ".join([*columns.values(), *["%s"] * len(defaults)])
    statement = f"INSERT INTO {model._meta.db_table} ({names}) SELECT {values} {source}"
    with connection.cursor() as cursor:
        cursor.execute(statement, list(defaults.values()))
        # The next statement reads these rows: without knowing how many there are, it would be planned for a few.
        cursor.execute(f"ANALYZE {model._meta.db_table}")


def main(size: int, pools: int) -> None:
    present = models.ProductInstance.objects.filter(udi_pid="LOAD").count()
    with transaction.atomic():
        with connection.cursor() as cursor:
            # Foreign keys and triggers aside: checking a million rows one by one takes longer than all measurements.
            cursor.execute("SET LOCAL session_replication_role = replica")
        place = {"smart_account_id": "g.smart_account_id", "virtual_account_id": "g.id"}
        fill(models.HaGroup, VA.format(new=size - present), **place, created_at="now()")
        fill(
            models.ProductInstance,
            GROUPS.format(known=INSTANCE),
            **ACCOUNT,
            origin_id="o.id",
            external_id="'load-' || g.id",
            piid="gen_random_uuid()",
            udi="'LOAD:' || g.id",
            udi_pid="'LOAD'",
            udi_serial_number="g.id::text",
            software_tag="'load'",
            hostname="'host-' || g.id",
            ha_group_id="g.id",
            state="'registered'",
            registered_at="now()",
        )
        fill(models.InstanceContact, CONTACTLESS, instance_id="g.id", last_contact_at="now()")
        fill(
            models.Usage,
            UNUSED.format(pools=pools),
            **ACCOUNT,
            instance_id="g.id",
            ha_group_id="g.ha_group_id",
            tag="l.tag",
            license_id="l.id",
            kind="'counted'",
            quantity="1",
            since="now()",
        )


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
