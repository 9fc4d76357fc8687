"""Who changed the hierarchy is kept as other records keep it: a person by id alone, so that the name can be erased.

An order no longer names who delivered it: the record of the delivery does.
"""

from typing import Any, ClassVar

from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.operations.base import Operation

from cssm.common.triggers import LetChange, RefuseChanges

SYSTEM = "system"
PROGRAM = "API client "


def find_actors(apps: Any, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """The ids of those whose names were kept; a person who is not found is one who is no longer known."""
    users = apps.get_model("accounts", "User").objects
    for version in apps.get_model("licensing", "HierarchyVersion").objects.exclude(made_by=""):
        name = version.made_by
        if name == SYSTEM:
            version.actor_kind, version.actor_id, version.actor_label = SYSTEM, SYSTEM, SYSTEM
        elif name.startswith(PROGRAM):
            version.actor_kind, version.actor_label = "api_client", name
        else:
            user = users.filter(email__iexact=name.rpartition("<")[2].rstrip(">")).first()
            version.actor_kind, version.actor_id = "user", str(user.pk) if user else ""
        version.save(update_fields=["actor_kind", "actor_id", "actor_label"])


class Migration(migrations.Migration):
    dependencies: ClassVar = [
        ("accounts", "0002_append_only"),
        ("licensing", "0009_keys_and_endpoints"),
    ]

    operations: ClassVar[list[Operation]] = [
        LetChange("HierarchyVersion"),
        LetChange("Order"),
        migrations.AddField("hierarchyversion", "actor_kind", models.CharField(max_length=12, default=""), preserve_default=False
),
        migrations.AddField("hierarchyversion", "actor_id", models.CharField(blank=True, max_length=64, default=""), preserve_default=False),
        migrations.AddField(
            "hierarchyversion",
            "actor_label",
            models.CharField(
                blank=True, default="", help_text="empty for a person, whose name is personal", max_length=200
            ),
            preserve_default=False,
        ),
        migrations.RunPython(find_actors, migrations.RunPython.noop),
        migrations.RemoveField("hierarchyversion", "made_by"),
        migrations.RemoveField("order", "delivered_by"),
        RefuseChanges("HierarchyVersion"),
        RefuseChanges("Order"),
    ]
