"""What is owned and what was used can be added to, never changed; nothing leaves a line twice."""

from typing import ClassVar

from django.db import migrations
from django.db.migrations.operations.base import Operation

from cssm.common.triggers import RefuseChanges, RunsSql

# The lock on the line makes a second who draws on it wait, and see what the first has taken.
POSTGRESQL = """
CREATE FUNCTION refuse_overdraft() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  line licensing_purchaseline%ROWTYPE;
  taken bigint;
BEGIN
  SELECT * INTO line FROM licensing_purchaseline WHERE id = NEW.line_id FOR NO KEY UPDATE;
  SELECT COALESCE(SUM(quantity), 0) INTO taken FROM licensing_allocation WHERE line_id = NEW.line_id;
  IF taken + NEW.quantity > line.quantity THEN
    RAISE EXCEPTION 'line % has % left', NEW.line_id, line.quantity - taken USING ERRCODE = 'check_violation';
  END IF;
  IF (NEW.virtual_account_id, NEW.license_id) <> (line.virtual_account_id, line.license_id) THEN
    RAISE EXCEPTION 'line % is of another account or license', NEW.line_id USING ERRCODE = 'check_violation';
  END IF;
  RETURN NEW;
END $$
"""
SQLITE = """
CREATE TRIGGER licensing_allocation_no_overdraft BEFORE INSERT ON licensing_allocation
WHEN (SELECT COALESCE(SUM(quantity), 0) FROM licensing_allocation WHERE line_id = NEW.line_id) + NEW.quantity
   > (SELECT quantity FROM licensing_purchaseline WHERE id = NEW.line_id)
  OR NOT EXISTS (SELECT 1 FROM licensing_purchaseline WHERE id = NEW.line_id
                 AND virtual_account_id = NEW.virtual_account_id AND license_id = NEW.license_id)
BEGIN SELECT RAISE(ABORT, 'the line has not so much left, or is of another account or license'); END
"""


class RefuseOverdraft(RunsSql):
    """Refuse an allocation of more than its line has left."""

    model_name = "Allocation"

    def statements(self, table: str, columns: list[str], vendor: str) -> list[str]:
        if vendor == "sqlite":
            return [SQLITE]
        trigger = f"CREATE TRIGGER {table}_no_overdraft BEFORE INSERT ON {table}"
        return [POSTGRESQL, f"{trigger} FOR EACH ROW EXECUTE FUNCTION refuse_overdraft()"]

    def undoing(self, table: str, vendor: str) -> list[str]:
        if vendor == "sqlite":
            return [f"DROP TRIGGER {table}_no_overdraft"]
        return [f"DROP TRIGGER {table}_no_overdraft ON {table}", "DROP FUNCTION refuse_overdraft()"]


class Migration(migrations.Migration):
    dependencies: ClassVar = [("licensing", "0001_initial")]

    operations: ClassVar[list[Operation]] = [
        RefuseChanges("Order"),
        RefuseChanges("OwnershipRecord"),
        RefuseChanges("PurchaseLine"),
        RefuseChanges("Allocation"),
        RefuseChanges("HierarchyVersion"),
        RefuseChanges("UsageChange"),
        RefuseChanges("PoolTransition", allowed=["dispatched_at"]),
        RefuseChanges("TermNotice", allowed=["dispatched_at"]),
        RefuseOverdraft(),
    ]
