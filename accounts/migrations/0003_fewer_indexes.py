"""Events are found by indexes that begin with their account: those of the foreign keys alone would only be kept."""

from typing import ClassVar

from django.db import migrations, models
from django.db.migrations.operations.base import Operation
from django.db.models.deletion import PROTECT

from cssm.common.triggers import LetChange, RefuseChanges


def key_without_index(to: str) -> models.Field:  # type: ignore[type-arg]  # of any model's key
    return models.ForeignKey(null=True, db_index=False, on_delete=PROTECT, related_name="+", to=to)


class Migration(migrations.Migration):
    dependencies: ClassVar = [("accounts", "0002_append_only")]

    operations: ClassVar[list[Operation]] = [
        LetChange("Event"),
        migrations.AlterField("event", "smart_account", key_without_index("accounts.smartaccount")),
        migrations.AlterField("event", "virtual_account", key_without_index("accounts.virtualaccount")),
        RefuseChanges("Event", allowed=["position", "digest"]),
    ]
