"""The contents of the two files to the portal (WP tables 1, 3 and 4), as streams of text. Pure."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from agents.onprem.documents.writer import entry, flag, head, quote, text_block

quote_tag: Final = lru_cache(maxsize=1024)(quote)
"""Tags and PIDs are few, and stand in every instance."""

MOST_ROWS: Final = 10_000
"""How many conversions, and how many usage reports, the portal takes in one file."""

SYNC_VERSION: Final = "1"
SSMS_VERSION: Final = "9-202611"


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistrationRequest:
    """WP table 1. CSRs are PEM, `exported` is a timestamp."""

    satellite_name: str
    instance_id: str
    exported: str
    lcs_csr: str
    tg_csr: str
    ssms_csr: str

    def parts(self) -> Iterator[str]:
        yield head("registration_request")
        yield entry("satellite_name", quote(self.satellite_name))
        yield entry("instance_id", quote(self.instance_id))
        yield entry("exported_timestamp", quote(self.exported))
        yield text_block("lcs_csr", self.lcs_csr)
        yield text_block("tg_csr", self.tg_csr)
        yield text_block("ssms_csr", self.ssms_csr)


@dataclass(frozen=True, slots=True, kw_only=True)
class License:
    """One license in use by one instance; `id` is of this pair."""

    id: int
    tag: str
    quantity: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """One product (WP table 4). Empty optional values are not written: that erases them at the portal."""

    id: int
    is_active: bool
    software_tag: str
    udi_pid: str
    udi_serial_number: str
    hostname: str = ""
    ip_address: str = ""
    mac_address: str = ""
    host_identifier: str = ""
    registered_at: str = ""
    ha_group: str = ""
    licenses: Sequence[License] = ()

    def text(self) -> str:
        lines = [
            f"  - :id: {self.id}\n    :is_active: {flag(self.is_active)}\n",
            f"    :software_tag_identifier: {quote_tag(self.software_tag)}\n",
            f"    :udi_pid: {quote_tag(self.udi_pid)}\n    :udi_serial_number: {quote(self.udi_serial_number)}\n",
        ]
        for name in ("hostname", "ip_address", "mac_address", "host_identifier", "registered_at", "ha_group"):
            value = getattr(self, name)
            if value:
                lines.append(f"    :{name}: {quote(value)}\n")
        lines.append("    :license:\n" if self.licenses else "    :license: []\n")
        for one in self.licenses:
            lines.append(
                f"    - :id: {one.id}\n      :tag: {quote_tag(one.tag)}\n      :consumed_quantity: {one.quantity}\n"
            )
        return "".join(lines)


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversion:
    """What one product asks to have converted; `lines` as it sent them."""

    udi_pid: str
    udi_serial_number: str
    software_tag: str
    locale: str
    lines: Sequence[Mapping[str, Any]]

    def text(self) -> str:
        rows = [
            f"- :udi_pid: {quote_tag(self.udi_pid)}\n  :udi_serial_number: {quote(self.udi_serial_number)}\n",
            f"  :software_tag_identifier: {quote_tag(self.software_tag)}\n  :locale: {quote(self.locale)}\n",
            "  :conversion_lines:\n",
        ]
        for line in self.lines:
            rows.append(f"  - :conversion_type: {line['conversion_type']}\n")
            rows.append(f"    :entitlement_tag: {quote_tag(line['entitlement_tag'])}\n    :count: {line['count']}\n")
            if line.get("payload"):
                rows.append(f"    :payload: {quote(line['payload'])}\n")
        return "".join(rows)


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageReport:
    """A usage report as its product signed it; `signature` holds `signing_type`, `key` and `value`."""

    payload: str
    signature: Mapping[str, str]

    def text(self) -> str:
        rows = [f"- :payload: {quote(self.payload)}\n  :signature:\n"]
        rows += [
            f"    :{name}: {quote(self.signature[name])}\n"
            for name in ("signing_type", "key", "value")
            if self.signature[name]
        ]
        return "".join(rows)


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A local Virtual Account with those of its instances that the file names."""

    id: int
    name: str
    instances: Iterable[Instance]

    def parts(self) -> Iterator[str]:
        yield f"- :id: {self.id}\n  :name: {quote(self.name)}\n"
        some = False
        for instance in self.instances:
            if not some:
                yield "  :product_instances:\n"
                some = True
            yield instance.text()
        if not some:
            yield "  :product_instances: []\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class SynchronizationRequest:
    """WP tables 3 and 4. `last_sync` is quoted from the last response installed, or None: then it is a full one."""

    id_cert: str
    signing_cert: str
    collector_id: str
    last_sync: str | None
    last_generated: str
    accounts: Iterable[Account]
    conversions: Sequence[Conversion] = ()
    usage_reports: Iterable[UsageReport] = ()
    tg_csr: str | None = None
    ssms_csr: str | None = None

    def parts(self) -> Iterator[str]:
        yield head("synchronization_request")
        yield entry("sync_version", quote(SYNC_VERSION))
        yield entry("ssms_version", quote(SSMS_VERSION))
        yield text_block("id_cert", self.id_cert)
        yield text_block("signing_cert", self.signing_cert)
        yield entry("collector_id", quote(self.collector_id))
        if self.tg_csr:
            yield text_block("tg_csr", self.tg_csr)
        if self.ssms_csr:
            yield text_block("ssms_csr", self.ssms_csr)
        yield entry("last-sync", "null" if self.last_sync is None else quote(self.last_sync))
        yield entry("last_generated", quote(self.last_generated))
        if self.conversions:
            yield ":device_conversion_request:\n"
            yield from (conversion.text() for conversion in self.conversions)
        some = False
        for report in self.usage_reports:
            if not some:
                yield ":rum_reports:\n"
                some = True
            yield report.text()
        some = False
        for account in self.accounts:
            if not some:
                yield ":virtual_accounts:\n"
                some = True
            yield from account.parts()
        if not some:
            yield ":virtual_accounts: []\n"
