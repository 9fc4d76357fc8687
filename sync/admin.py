"""Django admin for inspection only; files and keys are not shown."""

from cssm.common.admin import register_read_only

register_read_only("sync", secret_fields={"ExchangePart": ("data",), "KeptRequest": ("content",)})
