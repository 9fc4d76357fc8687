"""The one shape of each kind of certificate, and the check that nothing else is ever signed (RFC 5280)."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from cryptography.x509.oid import ExtendedKeyUsageOID, ObjectIdentifier

from pki.states import AuthorityName, KeyAlgorithm, ProfileName

BACKDATING: Final = timedelta(minutes=5)
"""Not-before lies this far back, for products whose clock is a little late."""

_LEAF_LIFETIME: Final = timedelta(days=365)
_AUTHORITY_LIFETIME: Final = timedelta(days=3652)
_LOCAL_AUTHORITY_LIFETIME: Final = timedelta(days=1826)
_ROOT_LIFETIME: Final = timedelta(days=7305)

ANY_RSA: Final = "rsa"


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """`key` is the algorithm of our own key, or ANY_RSA where the key comes from a CSR.

    `path_length` is None where the certificate is no authority, or for the root, which sets no limit.
    """

    name: ProfileName
    lifetime: timedelta
    key: KeyAlgorithm | str
    is_authority: bool = False
    is_self_signed: bool = False
    path_length: int | None = None
    extended_key_usages: tuple[ObjectIdentifier, ...] = ()
    names_product: bool = False
    """Carries the permanentIdentifier (RFC 4043) and may carry a serialNumber."""

    names_hosts: bool = False
    """Carries DNS names and IP addresses."""


def _local_authority(name: ProfileName) -> Profile:
    """Of an on-prem server: the key is the server's, and it certifies products alone."""
    return Profile(name=name, lifetime=_LOCAL_AUTHORITY_LIFETIME, key=ANY_RSA, is_authority=True, path_length=0)


def _authority(name: ProfileName, path_length: int) -> Profile:
    return Profile(
        name=name,
        lifetime=_AUTHORITY_LIFETIME,
        key=KeyAlgorithm.RSA_2048,
        is_authority=True,
        path_length=path_length,
    )


PROFILES: Final[dict[ProfileName, Profile]] = {
    profile.name: profile
    for profile in (
        Profile(
            name=ProfileName.ROOT,
            lifetime=_ROOT_LIFETIME,
            key=KeyAlgorithm.RSA_4096,
            is_authority=True,
            is_self_signed=True,
        ),
        _authority(ProfileName.PRODUCT_SUB_CA, 0),
        _authority(ProfileName.ONPREM_SUB_CA, 1),
        _authority(ProfileName.TG_ISSUER, 0),
        Profile(name=ProfileName.RESERVATION_SIGNING, lifetime=_AUTHORITY_LIFETIME, key=KeyAlgorithm.P_256),
        Profile(
            name=ProfileName.PRODUCT_ID,
            lifetime=_LEAF_LIFETIME,
            key=ANY_RSA,
            extended_key_usages=(ExtendedKeyUsageOID.CLIENT_AUTH,),
            names_product=True,
        ),
        # No extended key usage: that tells it from an ID certificate, so that no product can speak as the server.
        Profile(name=ProfileName.MESSAGE_SIGNING, lifetime=_LEAF_LIFETIME, key=KeyAlgorithm.RSA_2048),
        # With an extended key usage, so that it is no message-signing certificate: an on-prem server holds its key.
        # Without a product's name, so that it is no product's either.
        Profile(
            name=ProfileName.SERVER_ID,
            lifetime=_LEAF_LIFETIME,
            key=ANY_RSA,
            extended_key_usages=(ExtendedKeyUsageOID.CLIENT_AUTH,),
        ),
        _local_authority(ProfileName.LOCAL_SUB_CA),
        _local_authority(ProfileName.LOCAL_SUB_CA_3_TIER),
        Profile(
            name=ProfileName.SERVER_TLS,
            lifetime=_LEAF_LIFETIME,
            key=ANY_RSA,
            extended_key_usages=(ExtendedKeyUsageOID.SERVER_AUTH,),
            names_hosts=True,
        ),
    )
}

AUTHORITY_PROFILES: Final[dict[AuthorityName, ProfileName]] = {
    AuthorityName.ROOT: ProfileName.ROOT,
    AuthorityName.PRODUCT_SUB_CA: ProfileName.PRODUCT_SUB_CA,
    AuthorityName.SATELLITE_CA: ProfileName.ONPREM_SUB_CA,
    AuthorityName.TG_ISSUER: ProfileName.TG_ISSUER,
    AuthorityName.RESERVATION_SIGNING: ProfileName.RESERVATION_SIGNING,
}

ALLOWED_ISSUERS: Final[dict[ProfileName, AuthorityName]] = {
    **dict.fromkeys(AUTHORITY_PROFILES.values(), AuthorityName.ROOT),
    ProfileName.PRODUCT_ID: AuthorityName.PRODUCT_SUB_CA,
    ProfileName.MESSAGE_SIGNING: AuthorityName.PRODUCT_SUB_CA,
    ProfileName.SERVER_ID: AuthorityName.PRODUCT_SUB_CA,
    ProfileName.LOCAL_SUB_CA: AuthorityName.SATELLITE_CA,
    ProfileName.LOCAL_SUB_CA_3_TIER: AuthorityName.ROOT,
    ProfileName.SERVER_TLS: AuthorityName.TG_ISSUER,
}
