"""The event log can be added to and sealed, never changed; personal values may be erased, never rewritten."""

from typing import ClassVar

from django.db import migrations
from django.db.migrations.operations.base import Operation

from cssm.common.triggers import RefuseChanges


class Migration(migrations.Migration):
    dependencies: ClassVar = [("accounts", "0001_initial")]

    operations: ClassVar[list[Operation]] = [RefuseChanges("Event", allowed=["position", "digest"])]
