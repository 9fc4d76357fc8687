"""A revocation is never taken back, and the history of the switch stays as it was."""

from typing import ClassVar

from django.db import migrations
from django.db.migrations.operations.base import Operation

from cssm.common.triggers import RefuseChanges


class Migration(migrations.Migration):
    dependencies: ClassVar = [("pki", "0003_revocation")]

    operations: ClassVar[list[Operation]] = [RefuseChanges("Revocation"), RefuseChanges("IssuingChange")]
