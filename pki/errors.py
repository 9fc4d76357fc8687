"""What the certificate authority refuses, and why."""

from cssm.common.errors import Conflict, DomainError, Invalid


class CsrInvalid(Invalid):
    """A certificate signing request that we do not certify; the message says what is wrong with it."""

    default_code = "CSR_INVALID"


class Undecipherable(DomainError):
    """A wrapped value was wrapped under another key, for another context, or has been altered."""

    default_code = "UNDECIPHERABLE"


class ProfileViolation(DomainError):
    """A certificate about to be signed is not what its profile allows. Nothing was signed."""

    default_code = "PROFILE_VIOLATION"


class PassphraseMissing(DomainError):
    """The root key is needed, and this process was not given `ROOT_KEY_PASSPHRASE`."""

    default_code = "ROOT_KEY_PASSPHRASE_MISSING"


class AuthorityMissing(DomainError):
    """The hierarchy has not been made yet: `manage.py bootstrap` does it."""

    default_code = "AUTHORITY_MISSING"


class KeyBlocked(CsrInvalid):
    """The key to be certified is known to be compromised."""


class IssuingStopped(Conflict):
    """The operator has stopped issuing; nothing was signed."""

    default_code = "ISSUING_STOPPED"


class RequestClosed(Conflict):
    """A signing request was voided (or recorded) before its result could be recorded."""

    default_code = "SIGNING_REQUEST_CLOSED"
