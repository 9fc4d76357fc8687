"""The accounts of an event are not looked up once more: their rows are never deleted."""

from typing import ClassVar

from django.db import migrations, models
from django.db.migrations.operations.base import Operation
from django.db.models.deletion import PROTECT

from cssm.common.triggers import LetChange, RefuseChanges


def unchecked_key(to: str) -> models.Field:  # type: ignore[type-arg]  # of any model's key
    return models.ForeignKey(
        null=True, db_index=False, db_constraint=False, on_delete=PROTECT, related_name="+", to=to
    )


class Migration(migrations.Migration):
    dependencies: ClassVar = [("accounts", "0003_fewer_indexes")]

    operations: ClassVar[list[Operation]] = [
        LetChange("Event"),
        migrations.AlterField("event", "smart_account", unchecked_key("accounts.smartaccount")),
        migrations.AlterField("event", "virtual_account", unchecked_key("accounts.virtualaccount")),
        RefuseChanges("Event", allowed=["position", "digest"]),
    ]
