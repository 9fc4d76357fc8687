"""Django admin for inspection only."""

from cssm.common.admin import register_read_only

register_read_only("alerts")
