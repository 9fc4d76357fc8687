"""Which certificates a file from the portal may bring: each by its stated issuer, for this server's names and keys.

A path to the root alone proves little, for every on-prem server holds an authority below it. So the authorities that
may issue for this server are fixed: by the exported trust, or by the first file that was installed.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from agents.common.errors import UsageError, VerificationFailed
from agents.common.keys import fingerprint
from agents.common.trust import (
    check_authority,
    find_extension,
    load_certificate,
    read_rsa_key,
    verify_path,
    verify_root,
)
from agents.onprem.documents.envelope import Opened
from agents.onprem.documents.responses import THREE_TIER
from agents.onprem.errors import FileRefused
from agents.onprem.server import Trust


class Acceptance:
    """One check of one file's certificates (PEM by the portal's names), all of them valid `at` that time."""

    def __init__(self, trust: Trust, instance_id: str, *, at: datetime) -> None:
        self._trust = trust
        self._instance_id = instance_id
        self._at = at
        self._root = load_root(trust.root, at=at)

    def check(
        self,
        opened: Opened,
        certificates: Mapping[str, str],
        *,
        lcs: rsa.RSAPublicKey,
        tg: Sequence[rsa.RSAPublicKey],
        ssms: Sequence[rsa.RSAPublicKey],
    ) -> Trust:
        """The trust from now on. `tg` and `ssms` are the keys whose certificates may come. Raises FileRefused."""
        loaded: dict[str, x509.Certificate] = {}
        try:
            for name, pem in certificates.items():
                loaded[name] = load_certificate(pem, name)
            self._check_issuers(loaded, certificates)
            self._check_own(loaded, lcs, opened)
            self._check_local_authorities(loaded, lcs)
            self._check_https(loaded, tg, ssms)
        except VerificationFailed as error:
            raise FileRefused("CERTIFICATE_INVALID", str(error)) from None
        return Trust(
            root=self._trust.root,
            sub_ca=self._trust.sub_ca or certificates["sub_ca_cert"],
            satellite_ca=self._trust.satellite_ca or certificates["satellite_cert"],
        )

    def _check_issuers(self, loaded: Mapping[str, x509.Certificate], given: Mapping[str, str]) -> None:
        for name, known in (("sub_ca_cert", self._trust.sub_ca), ("satellite_cert", self._trust.satellite_ca)):
            self._path(loaded, name, [])
            check_authority(loaded[name], name, authorities_below=1 if name == "satellite_cert" else 0)
            if known is not None and load_certificate(known, name) != loaded[name]:
                raise VerificationFailed(
                    f"The {name} is another authority's than the one trusted here; if the portal has a new one,"
                    " export its trust again and tell this server with 'trust'."
                )

    def _check_own(self, loaded: Mapping[str, x509.Certificate], lcs: rsa.RSAPublicKey, opened: Opened) -> None:
        for name in ("id_cert", "signing_cert"):
            self._path(loaded, name, [loaded["sub_ca_cert"]])
            self._check_end(loaded[name], name)
            names = [one.value for one in loaded[name].subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
            if names != [self._instance_id]:
                raise VerificationFailed(f"The {name} is another server's: it names {names}, not {self._instance_id}.")
        self._check_key(loaded["id_cert"], "id_cert", [lcs])
        signing = loaded["signing_cert"]
        if opened.certificate != signing:
            raise VerificationFailed("The file is not signed with the key of the signing_cert that it holds.")
        if find_extension(signing, x509.ExtendedKeyUsage) is not None:
            raise VerificationFailed("The signing_cert is an identity, not one for the portal's messages.")
        if fingerprint(read_rsa_key(signing, "signing_cert")) == fingerprint(lcs):
            raise VerificationFailed("The signing_cert holds this server's own key.")

    def _check_local_authorities(self, loaded: Mapping[str, x509.Certificate], lcs: rsa.RSAPublicKey) -> None:
        above = {"local_sub_ca_cert_1_1": [loaded["satellite_cert"]], THREE_TIER: []}
        for name, issuers in above.items():
            if name not in loaded:
                continue
            self._path(loaded, name, issuers)
            check_authority(loaded[name], name, authorities_below=0)
            self._check_key(loaded[name], name, [lcs])

    def _check_https(
        self, loaded: Mapping[str, x509.Certificate], tg: Sequence[rsa.RSAPublicKey], ssms: Sequence[rsa.RSAPublicKey]
    ) -> None:
        if "tg_issuer_cert" in loaded:
            self._path(loaded, "tg_issuer_cert", [])
            check_authority(loaded["tg_issuer_cert"], "tg_issuer_cert", authorities_below=0)
        for name, keys in (("tg_ssl_cert", tg), ("ssms_ssl_cert", ssms)):
            if name not in loaded:
                continue
            if "tg_issuer_cert" not in loaded:
                raise VerificationFailed(f"The {name} comes without its issuer.")
            self._path(loaded, name, [loaded["tg_issuer_cert"]])
            self._check_end(loaded[name], name)
            self._check_key(loaded[name], name, keys)
            purposes = find_extension(loaded[name], x509.ExtendedKeyUsage)
            if purposes is None or ExtendedKeyUsageOID.SERVER_AUTH not in purposes:
                raise VerificationFailed(f"The {name} is not meant for a server.")

    def _path(self, loaded: Mapping[str, x509.Certificate], name: str, issuers: list[x509.Certificate]) -> None:
        verify_path(loaded[name], issuers, self._root, at=self._at, what=name)

    @staticmethod
    def _check_end(certificate: x509.Certificate, name: str) -> None:
        constraints = find_extension(certificate, x509.BasicConstraints)
        usage = find_extension(certificate, x509.KeyUsage)
        if (constraints is not None and constraints.ca) or (usage is not None and usage.key_cert_sign):
            raise VerificationFailed(f"The {name} is the certificate of an authority.")

    @staticmethod
    def _check_key(certificate: x509.Certificate, name: str, keys: Sequence[rsa.RSAPublicKey]) -> None:
        if fingerprint(read_rsa_key(certificate, name)) not in {fingerprint(key) for key in keys}:
            raise VerificationFailed(f"The {name} is for another key than this server's.")


def load_root(pem: str, *, at: datetime) -> x509.Certificate:
    """The licensing root, as it was exported from the portal. Raises UsageError."""
    try:
        root = load_certificate(pem, "root certificate")
        verify_root(root, at=at)
    except VerificationFailed as error:
        raise UsageError(f"This cannot be trusted as a root: {error}") from None
    return root
