"""Keys of third parties that products were given."""

from django.db import models

from accounts.models import SmartAccount, VirtualAccount
from cssm.common.querysets import TenantQuerySet
from licensing.models.devices import ProductInstance
from licensing.states import ThirdParty


class ThirdPartyKey(models.Model):
    """What a provider gave for a request of a product, encrypted. `reference` stands for all that was asked."""

    smart_account = models.ForeignKey(SmartAccount, on_delete=models.PROTECT, related_name="+")
    virtual_account = models.ForeignKey(VirtualAccount, on_delete=models.PROTECT, related_name="+")
    instance = models.ForeignKey(ProductInstance, on_delete=models.PROTECT, related_name="third_party_keys")
    reference = models.CharField(max_length=64, unique=True)
    provider = models.CharField(max_length=20, choices=[(p.value, p.label) for p in ThirdParty])
    key_name = models.CharField(max_length=255)
    key_id = models.CharField(max_length=255, blank=True)
    sealed = models.BinaryField()
    at = models.DateTimeField()

    objects = TenantQuerySet["ThirdPartyKey"].as_manager()

    def __str__(self) -> str:
        return f"{self.key_name} of {self.provider}"
