"""What a product is given to prove itself by, at registration and renewal: certificates for the key of its CSR."""

from collections.abc import Mapping, Set
from datetime import datetime, timedelta
from typing import Any, Final

from cssm.common.compiled import CompiledInsert, CompiledRead
from licensing.codecs.device_message import Sudi
from licensing.codecs.refusals import Refusal, RefusalCode
from licensing.models import InstanceKey
from licensing.services.devices.answers import Signer
from licensing.states import KeyState
from pki.crypto.csr import MAX_COMMON_NAME, ParsedCsr, parse_csr
from pki.errors import CsrInvalid, IssuingStopped, KeyBlocked
from pki.services import issuance
from pki.services.issuance import IssuedPair

RENEW_AFTER: Final = timedelta(days=180)
_OWNERS: Final = CompiledRead(lambda: InstanceKey.objects.filter(public_key_digest="").values_list("instance__udi"))
_KEYS: Final = CompiledInsert(InstanceKey)
WHILE_STOPPED: Final = timedelta(hours=1)
"""How long a product is asked to wait while the operator has stopped issuing: as after any failed renewal."""


def read_csr(pem: str) -> ParsedCsr:
    """Raises `Refusal` (CSR_INVALID)."""
    try:
        return parse_csr(pem)
    except CsrInvalid as error:
        raise Refusal(RefusalCode.CSR_INVALID, error.message, where="$.data.csr") from None


def match_identifier(csr: ParsedCsr, sudi: Sudi) -> str:
    """What the certificate will hold whole: the one of PID:SN and uuid that the CSR names, cut as a common name is.

    Raises `Refusal` (UDI_MISMATCH).
    """
    for identifier in (sudi.udi, sudi.uuid):
        if identifier and csr.common_name == identifier[:MAX_COMMON_NAME]:
            return identifier
    raise Refusal(
        RefusalCode.UDI_MISMATCH,
        f"The common name of the CSR must be the first {MAX_COMMON_NAME} characters of {sudi.udi}.",
        where="$.data.csr",
    )


def owns_key(*, key_digest: str, udi: str) -> bool:
    """Whether the product has used this key before. A key that two products hold lets each speak for the other.

    Raises `Refusal` (CSR_INVALID) where it is another product's.
    """
    return judge_owners({row[0] for row in _OWNERS.fetch(key_digest)}, udi=udi)


def judge_owners(owners: Set[str], *, udi: str) -> bool:
    """As `owns_key`, of the UDIs that have used the key."""
    if owners - {udi}:
        raise Refusal(
            RefusalCode.CSR_INVALID,
            "The key of the CSR already belongs to another product. Make a new key pair.",
            where="$.data.csr",
        )
    return bool(owners)


def issue_identity(*, csr: ParsedCsr, sudi: Sudi, identifier: str, now: datetime) -> IssuedPair:
    """Certificates that are signed and not recorded yet: the intent is stored, in a transaction of its own.

    Raises `Refusal`: CSR_INVALID for a key that is known to be compromised, INTERNAL while issuing is stopped.
    """
    try:
        prepared = issuance.prepare_product_certificates(
            csr_public_key=csr.spki_der,
            common_name=csr.common_name,
            permanent_identifier=identifier,
            serial_number=sudi.udi_serial_number or None,
            now=now,
        )
    except KeyBlocked as error:
        raise Refusal(RefusalCode.CSR_INVALID, error.message, where="$.data.csr") from None
    except IssuingStopped as error:
        seconds = int(WHILE_STOPPED.total_seconds())
        raise Refusal(RefusalCode.INTERNAL, f"{error.message} Try again later.", retry_seconds=seconds) from None
    return issuance.sign_prepared(prepared)


def signer_of(issued: IssuedPair) -> Signer:
    """The answer that hands the certificates out is signed with the key that they certify."""
    return Signer(issued.signing_key.id, issued.signing_key.wrapped)


def describe_identity(issued: IssuedPair, *, smart_account: str, virtual_account: str) -> Mapping[str, Any]:
    """The data of the answer to a REGISTRATION or RENEWAL."""
    return {
        "sub_ca_cert": issued.sub_ca_pem,
        "signing_cert": issued.signing_cert_pem,
        "id_cert": issued.id_cert_pem,
        "chain": [],
        "smart_account": smart_account,
        "virtual_account": virtual_account,
        "renew_after_seconds": int(RENEW_AFTER.total_seconds()),
    }


def bind_key(
    *, instance_id: int, csr: ParsedCsr, key_digest: str, issued: IssuedPair, state: KeyState, now: datetime
) -> None:
    """Keep the key of the CSR with the certificates issued for it; a pending one is a renewal's."""
    key = InstanceKey(
        instance_id=instance_id,
        public_key=csr.spki_der,
        public_key_digest=key_digest,
        id_cert_serial=issued.id_cert_serial,
        signing_key_id=issued.signing_key.id,
        state=state,
        is_renewal=state is KeyState.PENDING,
        not_after=issued.not_after,
        created_at=now,
    )
    _KEYS.add(key)
