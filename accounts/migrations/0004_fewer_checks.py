"""The Virtual Account of an event is not looked up once more: its row is never deleted."""

from typing import ClassVar

from django.db import migrations, models
from django.db.migrations.operations.base import Operation
from django.db.models.deletion import PROTECT

from cssm.common.triggers import LetChange, RefuseChanges


class Migration(migrations.Migration):
    dependencies: ClassVar = [("accounts", "0003_fewer_indexes")]

    operations: ClassVar[list[Operation]] = [
        LetChange("Event"),
        migrations.AlterField(
            "event",
            "virtual_account",
            models.ForeignKey(
                null=True,
                db_index=False,
                db_constraint=False,
                on_delete=PROTECT,
                related_name="+",
                to="accounts.virtualaccount",
            ),
        ),
        RefuseChanges("Event", allowed=["position", "digest"]),
    ]
