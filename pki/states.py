"""Names and states of the certificate authority. Pure."""

from enum import StrEnum

from cssm.common.text import mark


class AuthorityName(StrEnum):
    """Those who sign. The values name their files: `<name>.pem`, `<name>.crl`."""

    ROOT = "root"
    PRODUCT_SUB_CA = "sub-ca"
    SATELLITE_CA = "satellite-ca"
    TG_ISSUER = "tg-issuer"
    RESERVATION_SIGNING = "reservation-signing"


class ProfileName(StrEnum):
    """What a certificate is for; each has exactly one shape (`pki.crypto.profiles`)."""

    ROOT = "root"
    PRODUCT_SUB_CA = "product-sub-ca"
    ONPREM_SUB_CA = "onprem-sub-ca"
    TG_ISSUER = "tg-issuer"
    RESERVATION_SIGNING = "reservation-signing"
    PRODUCT_ID = "product-id"
    MESSAGE_SIGNING = "message-signing"
    SERVER_ID = "server-id"
    LOCAL_SUB_CA = "local-sub-ca"
    LOCAL_SUB_CA_3_TIER = "local-sub-ca-3-tier"
    SERVER_TLS = "server-tls"


class KeyAlgorithm(StrEnum):
    RSA_2048 = "rsa-2048"
    RSA_4096 = "rsa-4096"
    P_256 = "p-256"


class KeyPurpose(StrEnum):
    """What a private key may sign. It is part of what the wrapping authenticates, so rows cannot be swapped."""

    AUTHORITY = "authority"
    MESSAGES = "messages"


class RequestState(StrEnum):
    """A signing request is pending from before the signature until its result is recorded, or it is voided."""

    PENDING = "pending"
    ISSUED = "issued"
    VOIDED = "voided"

    @property
    def label(self) -> str:
        return {
            RequestState.PENDING: mark("Pending"),
            RequestState.ISSUED: mark("Issued"),
            RequestState.VOIDED: mark("Voided"),
        }[self]


class RootRequestState(StrEnum):
    """A request for a signature of the root waits for its time, or is held; `signing` has its stored intent."""

    WAITING = "waiting"
    HELD = "held"
    SIGNING = "signing"
    SIGNED = "signed"
    CANCELLED = "cancelled"

    @property
    def label(self) -> str:
        return {
            RootRequestState.WAITING: mark("Waiting"),
            RootRequestState.HELD: mark("Held"),
            RootRequestState.SIGNING: mark("Being signed"),
            RootRequestState.SIGNED: mark("Signed"),
            RootRequestState.CANCELLED: mark("Cancelled"),
        }[self]


class LogKind(StrEnum):
    """What the CA log records about a certificate."""

    ISSUED = "issued"
    VOIDED = "voided"
    REVOKED = "revoked"

    @property
    def label(self) -> str:
        return {
            LogKind.ISSUED: mark("Issued"),
            LogKind.VOIDED: mark("Voided"),
            LogKind.REVOKED: mark("Revoked"),
        }[self]


class RevocationReason(StrEnum):
    """Why a certificate is not to be trusted any more (RFC 5280 section 5.3.1). The values are those of the library."""

    KEY_COMPROMISE = "keyCompromise"
    SUPERSEDED = "superseded"
    CESSATION = "cessationOfOperation"
    CA_COMPROMISE = "cACompromise"

    @property
    def label(self) -> str:
        return {
            RevocationReason.KEY_COMPROMISE: mark("Key compromised"),
            RevocationReason.SUPERSEDED: mark("Superseded"),
            RevocationReason.CESSATION: mark("No longer used"),
            RevocationReason.CA_COMPROMISE: mark("Authority compromised"),
        }[self]
