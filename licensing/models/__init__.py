from licensing.models.catalog import CatalogHead, HierarchyVersion, License, LicenseChange, LicenseFamily, SoftwareTag
from licensing.models.conversions import Conversion, ConversionLine, ConvertedLine
from licensing.models.device_calls import DeviceCall
from licensing.models.devices import (
    DuplicateFinding,
    HaGroup,
    IdToken,
    InstanceContact,
    InstanceKey,
    InstanceNotice,
    InstanceWatch,
    Origin,
    ProductInstance,
    RegistrationReceipt,
    UdiClaim,
    Usage,
)
from licensing.models.endpoints import Endpoint
from licensing.models.ownership import Allocation, Order, OwnershipRecord, PurchaseLine, TermNotice
from licensing.models.pending_answers import PendingAnswer
from licensing.models.pools import HistoryCompaction, Pool, PoolCheck, PoolDelta, PoolTransition, PoolUnit, UsageChange
from licensing.models.reservations import (
    AuthorizationCode,
    AuthorizedLicense,
    Hold,
    Reservation,
    ReservationTransition,
)
from licensing.models.snapshots import Snapshot, SnapshotAccount, StagedInstance, StagedUse
from licensing.models.third_party import ThirdPartyKey
from licensing.models.usage_reports import Meter, MeteredDay, RumMeasurement, RumReport, RumUpload

__all__ = [
    "Allocation",
    "AuthorizationCode",
    "AuthorizedLicense",
    "CatalogHead",
    "Conversion",
    "ConversionLine",
    "ConvertedLine",
    "DeviceCall",
    "DuplicateFinding",
    "Endpoint",
    "HaGroup",
    "HierarchyVersion",
    "HistoryCompaction",
    "Hold",
    "IdToken",
    "InstanceContact",
    "InstanceKey",
    "InstanceNotice",
    "InstanceWatch",
    "License",
    "LicenseChange",
    "LicenseFamily",
    "Meter",
    "MeteredDay",
    "Order",
    "Origin",
    "OwnershipRecord",
    "PendingAnswer",
    "Pool",
    "PoolCheck",
    "PoolDelta",
    "PoolTransition",
    "PoolUnit",
    "ProductInstance",
    "PurchaseLine",
    "RegistrationReceipt",
    "Reservation",
    "ReservationTransition",
    "RumMeasurement",
    "RumReport",
    "RumUpload",
    "Snapshot",
    "SnapshotAccount",
    "SoftwareTag",
    "StagedInstance",
    "StagedUse",
    "TermNotice",
    "ThirdPartyKey",
    "UdiClaim",
    "Usage",
    "UsageChange",
]
