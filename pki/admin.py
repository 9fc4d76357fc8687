"""Inspection of the certificate authority; wrapped keys and other bytes are not shown."""

from cssm.common.admin import register_read_only

register_read_only("pki", secret_fields={"StoredKey": ("wrapped",)})
