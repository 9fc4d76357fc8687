from django.db import models

from accounts.models import SmartAccount, VirtualAccount
from sync.models.servers import OnPremServer
from sync.querysets import LocalAccountQuerySet


class LocalAccount(models.Model):
    """What a server calls one of its Virtual Accounts, and the one here that it is linked to (null: held unlinked).

    `is_announced` ones were given to the server by us and not named by it yet. `named_at` is when the server last gave
    it its name, `instance_count` how many active instances it last named in it.
    """

    smart_account = models.ForeignKey(SmartAccount, on_delete=models.PROTECT, related_name="+")
    virtual_account = models.ForeignKey(VirtualAccount, null=True, on_delete=models.PROTECT, related_name="+")
    server = models.ForeignKey(OnPremServer, on_delete=models.PROTECT, related_name="local_accounts")
    local_id = models.CharField(max_length=64)
    name = models.CharField(max_length=120)
    former_name = models.CharField(
        max_length=120, blank=True, help_text="what it was called before it was renamed here"
    )
    named_at = models.DateTimeField()
    is_announced = models.BooleanField(default=False)
    is_active = models.BooleanField(default=True)
    instance_count = models.PositiveIntegerField(default=0)
    reason = models.CharField(max_length=300, blank=True, help_text="why it is not linked")

    objects = LocalAccountQuerySet.as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["server", "local_id"], name="local_account_once")]

    def __str__(self) -> str:
        return self.name
