"""A registration: nothing of its answer counts until all of it is proven (WP "Registration response validation")."""

from collections.abc import Callable
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa

from agents.common.trust import load_certificate, verify_root
from agents.smart_agent.certificates import Verified, verify_certificates
from agents.smart_agent.errors import UsageError, VerificationFailed
from agents.smart_agent.exchange import Question
from agents.smart_agent.identity import common_name, make_csr
from agents.smart_agent.messages import RequestType, Response, registration_data, renewal_data
from agents.smart_agent.state import Identity, Product


class RegistrationAnswer(msgspec.Struct, frozen=True, kw_only=True):
    sub_ca_cert: str
    signing_cert: str
    id_cert: str
    chain: list[str] = []
    smart_account: str = ""
    virtual_account: str = ""
    renew_after_seconds: int = 15_552_000


class Registration:
    """One attempt: the question for a key in the store, the check of its answer, the identity that comes of it.

    A renewal is the same with another question.
    """

    def __init__(
        self, *, root: x509.Certificate, product: Product, key: rsa.RSAPrivateKey, clock: Callable[[], datetime]
    ) -> None:
        self._root = root
        self._product = product
        self._key = key
        self._clock = clock
        self._proven: tuple[RegistrationAnswer, Verified] | None = None

    def question(self, *, token: str, key_name: str, same_as: list[Any]) -> Question:
        return Question(
            request_type=RequestType.REGISTRATION,
            sudi=self._product.sudi,
            data=registration_data(
                id_token=token,
                csr=make_csr(self._key, common_name(self._product.sudi)),
                software_tag=self._product.software_tag,
                **describe_host(self._product),
            ),
            key=key_name,
            same_as=same_as,
            three_tier=self._product.three_tier,
        )

    def renewal_question(self, *, identity: Identity) -> Question:
        """Signed with the old key: the new one takes over with its first message."""
        csr = make_csr(self._key, common_name(self._product.sudi))
        return Question(
            request_type=RequestType.RENEWAL,
            sudi=self._product.sudi,
            data=renewal_data(csr=csr, software_tag=self._product.software_tag, **describe_host(self._product)),
            key=identity.key,
            same_as=[identity.piid, csr],
            piid=identity.piid,
            id_cert_serial=identity.id_cert_serial,
            three_tier=self._product.three_tier,
        )

    def find_signer(self, response: Response) -> rsa.RSAPublicKey:
        """The key of the signing certificate in the answer, once its path and the ID certificate's hold."""
        try:
            answer = msgspec.convert(response.data, RegistrationAnswer)
        except msgspec.ValidationError as error:
            raise VerificationFailed(f"The answer to the registration is incomplete: {error}.") from None
        verified = verify_certificates(
            id_cert=answer.id_cert,
            signing_cert=answer.signing_cert,
            sub_ca_cert=answer.sub_ca_cert,
            chain=answer.chain,
            root=self._root,
            public_key=self._key.public_key(),
            sudi=self._product.sudi,
            at=self._clock(),
            three_tier=self._product.three_tier,
        )
        self._proven = answer, verified
        return verified.signing_key

    def identity(self, response: Response, *, key_name: str) -> Identity:
        """Call after the signature was verified with the key from `find_signer`."""
        if self._proven is None:
            raise VerificationFailed("The answer has not been verified.")
        answer, verified = self._proven
        now = int(self._clock().timestamp() * 1000)
        return Identity(
            piid=_read_piid(response),
            key=key_name,
            id_cert=answer.id_cert,
            id_cert_serial=verified.id_cert_serial,
            signing_cert=answer.signing_cert,
            sub_ca_cert=answer.sub_ca_cert,
            chain=answer.chain,
            smart_account=answer.smart_account,
            virtual_account=answer.virtual_account,
            registered_at=now,
            renew_at=now + answer.renew_after_seconds * 1000,
            expires_at=int(verified.expires_at.timestamp() * 1000),
        )


def load_root(pem: str, *, at: datetime) -> x509.Certificate:
    """The certificate that everything rests on: given by the product's maker, and a root. Raises UsageError."""
    try:
        root = load_certificate(pem, "root certificate")
        verify_root(root, at=at)
    except VerificationFailed as error:
        raise UsageError(f"This cannot be trusted as a root: {error}") from None
    return root


def describe_host(product: Product) -> dict[str, Any]:
    """What registrations and authorization requests may tell beside the UDI."""
    return {
        "hostname": product.hostname,
        "ip_address": product.ip_address,
        "mac_address": product.mac_address,
        "ha_peers": product.ha_peers,
    }


def _read_piid(response: Response) -> str:
    piid = response.header.product_instance_identifier
    try:
        UUID(piid or "")
    except ValueError:
        raise VerificationFailed("The answer names no product instance identifier.") from None
    return str(piid)
