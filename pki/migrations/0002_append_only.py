"""The CA log can be added to and sealed, never changed."""

from typing import ClassVar

from django.db import migrations
from django.db.migrations.operations.base import Operation

from cssm.common.triggers import RefuseChanges


class Migration(migrations.Migration):
    dependencies: ClassVar = [("pki", "0001_initial")]

    operations: ClassVar[list[Operation]] = [
        RefuseChanges("CaLogBatch"),
        RefuseChanges("CaLogEntry", allowed=["batch_id"]),
    ]
