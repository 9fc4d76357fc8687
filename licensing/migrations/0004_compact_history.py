"""Days of the history of use are brought to a few rows when they are old; until then the database keeps every row."""

from typing import ClassVar

from django.db import migrations, models
from django.db.migrations.operations.base import Operation

from cssm.common.triggers import REFUSAL, RefuseChanges, RunsSql, trigger_name

ALLOWED = """EXISTS (
  SELECT 1 FROM licensing_historycompaction c WHERE c.is_open AND OLD.at >= c.start AND OLD.at < c.until)"""
POSTGRESQL = f"""
CREATE FUNCTION refuse_history_loss() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NOT {ALLOWED} THEN
    RAISE EXCEPTION '% {REFUSAL}', TG_TABLE_NAME USING ERRCODE = 'check_violation';
  END IF;
  RETURN OLD;
END $$
"""


class LetCompactedGo(RunsSql):
    """Refuse to delete a row of the history, but of a day that is being compacted."""

    model_name = "UsageChange"

    def statements(self, table: str, columns: list[str], vendor: str) -> list[str]:
        name = trigger_name(table, "delete")
        trigger = f'CREATE TRIGGER {name} BEFORE DELETE ON "{table}"'
        if vendor == "postgresql":
            body = "FOR EACH ROW EXECUTE FUNCTION refuse_history_loss()"
            return [f'DROP TRIGGER {name} ON "{table}"', POSTGRESQL, f"{trigger} {body}"]
        body = f"WHEN NOT {ALLOWED} BEGIN SELECT RAISE(ABORT, '{table} {REFUSAL}'); END"
        return [f"DROP TRIGGER {name}", f"{trigger} {body}"]

    def undoing(self, table: str, vendor: str) -> list[str]:
        again = RefuseChanges(self.model_name).statements(table, [], vendor)[-1]
        name = trigger_name(table, "delete")
        if vendor == "postgresql":
            return [f'DROP TRIGGER {name} ON "{table}"', "DROP FUNCTION refuse_history_loss()", again]
        return [f"DROP TRIGGER {name}", again]


class Migration(migrations.Migration):
    dependencies: ClassVar = [
        ("accounts", "0002_append_only"),
        ("licensing", "0003_devices_for_years"),
    ]

    operations: ClassVar[list[Operation]] = [
        migrations.CreateModel(
            name="HistoryCompaction",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("kind", models.CharField(choices=[("compacted", "compacted"), ("dropped", "dropped")], max_length=12)),
                ("start", models.DateTimeField()),
                ("until", models.DateTimeField()),
                ("at", models.DateTimeField()),
                ("is_open", models.BooleanField(default=True)),
            ],
        ),
        migrations.AddIndex(
            model_name="usagechange",
            index=models.Index(fields=["at"], name="licensing_u_at_af187d_idx"),
        ),
        migrations.AddConstraint(
            model_name="historycompaction",
            constraint=models.UniqueConstraint(fields=("kind", "start"), name="history_compacted_once"),
        ),
        migrations.AddConstraint(
            model_name="historycompaction",
            constraint=models.UniqueConstraint(
                condition=models.Q(("is_open", True)), fields=("is_open",), name="history_one_compaction_at_a_time"
            ),
        ),
        RefuseChanges("HistoryCompaction", allowed=["is_open"]),
        LetCompactedGo(),
    ]
