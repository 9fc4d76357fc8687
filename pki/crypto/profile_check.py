"""The check before a signature: a certificate is signed only if it reads back as exactly what its profile allows.

It looks at the parsed bytes that are about to be signed and knows the profile table, not the code that built them.
Every extension must be expected and every expected one be there: anything unknown fails (after boulder's `issuance`).
"""

from typing import Final

from cryptography import x509
from cryptography.x509.oid import (
    AuthorityInformationAccessOID,
    ExtensionOID,
    NameOID,
    ObjectIdentifier,
    SignatureAlgorithmOID,
)

from pki.crypto.certificates import Plan, assemble, load_certificate, read_public_key
from pki.crypto.keys import describe_public_key
from pki.crypto.names import PERMANENT_IDENTIFIER, encode_host_names, encode_permanent_identifier, is_host_name
from pki.crypto.profiles import ANY_RSA, Profile
from pki.errors import ProfileViolation
from pki.states import KeyAlgorithm

_SIZES: Final = {
    KeyAlgorithm.RSA_2048: ("rsa", 2048),
    KeyAlgorithm.RSA_4096: ("rsa", 4096),
    KeyAlgorithm.P_256: ("ec", 256),
}
_ANY_RSA_BITS: Final = range(2048, 8193)
_SERIAL_BITS: Final = range(65, 160)
_CRITICAL: Final = frozenset({ExtensionOID.BASIC_CONSTRAINTS, ExtensionOID.KEY_USAGE})
_USAGES: Final = {True: {"key_cert_sign", "crl_sign"}, False: {"digital_signature"}}
_OTHER_USAGES: Final = ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement")


def check_tbs(tbs: bytes, plan: Plan) -> None:
    """Raises ProfileViolation unless these bytes are the certificate that the plan and its profile describe."""
    try:
        # The signature is empty here: only what will be signed is looked at.
        certificate = x509.load_der_x509_certificate(assemble(tbs, bytes(256)))
        _check_fields(certificate, plan)
        _check_names(certificate, plan)
        _check_key(certificate, plan)
        _check_extensions(certificate, plan)
    except ProfileViolation:
        raise
    except (ValueError, TypeError, KeyError, x509.ExtensionNotFound, x509.DuplicateExtension) as error:
        raise ProfileViolation(f"The certificate cannot be checked against profile {plan.profile}: {error}") from error


def _expect(condition: bool, what: str, plan: Plan) -> None:
    if not condition:
        raise ProfileViolation(f"Profile {plan.profile} does not allow this certificate: {what}.", where=what)


def _check_fields(certificate: x509.Certificate, plan: Plan) -> None:
    _expect(certificate.version is x509.Version.v3, "version", plan)
    _expect(certificate.signature_algorithm_oid == SignatureAlgorithmOID.RSA_WITH_SHA256, "signature algorithm", plan)
    serial = certificate.serial_number
    _expect(serial == plan.serial and serial > 0 and serial.bit_length() in _SERIAL_BITS, "serial number", plan)
    not_before, not_after = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    _expect(not_after - not_before == plan.shape.lifetime, "lifetime", plan)
    _expect(not_before <= plan.now <= not_after, "validity", plan)
    if plan.issuer_der is not None:
        _expect(not_after <= load_certificate(plan.issuer_der).not_valid_after_utc, "outlives its issuer", plan)


def _check_names(certificate: x509.Certificate, plan: Plan) -> None:
    _expect(plan.shape.is_self_signed == (plan.issuer_der is None), "issuer", plan)
    issuer = certificate.subject if plan.issuer_der is None else load_certificate(plan.issuer_der).subject
    _expect(certificate.issuer == issuer, "issuer", plan)
    allowed = {NameOID.COMMON_NAME: plan.common_name}
    if plan.shape.names_product and plan.serial_number is not None:
        allowed[NameOID.SERIAL_NUMBER] = plan.serial_number
    attributes = list(certificate.subject)
    _expect(len({attribute.oid for attribute in attributes}) == len(attributes), "subject", plan)
    _expect(all(allowed.get(attribute.oid) == attribute.value for attribute in attributes), "subject", plan)
    _expect(any(attribute.oid == NameOID.COMMON_NAME for attribute in attributes), "subject", plan)


def _check_key(certificate: x509.Certificate, plan: Plan) -> None:
    _expect(read_public_key(certificate) == plan.spki_der, "key", plan)
    kind, bits = describe_public_key(plan.spki_der)
    if plan.shape.key == ANY_RSA:
        _expect(kind == "rsa" and bits in _ANY_RSA_BITS, "key", plan)
    else:
        _expect((kind, bits) == _SIZES[KeyAlgorithm(plan.shape.key)], "key", plan)


def _expected_extensions(shape: Profile) -> set[ObjectIdentifier]:
    expected = {
        ExtensionOID.BASIC_CONSTRAINTS,
        ExtensionOID.KEY_USAGE,
        ExtensionOID.SUBJECT_KEY_IDENTIFIER,
        ExtensionOID.AUTHORITY_KEY_IDENTIFIER,
    }
    if shape.extended_key_usages:
        expected.add(ExtensionOID.EXTENDED_KEY_USAGE)
    if shape.names_product or shape.names_hosts:
        expected.add(ExtensionOID.SUBJECT_ALTERNATIVE_NAME)
    if not shape.is_self_signed:
        expected |= {ExtensionOID.CRL_DISTRIBUTION_POINTS, ExtensionOID.AUTHORITY_INFORMATION_ACCESS}
    return expected


def _check_extensions(certificate: x509.Certificate, plan: Plan) -> None:
    shape, extensions = plan.shape, certificate.extensions
    _expect({extension.oid for extension in extensions} == _expected_extensions(shape), "extensions", plan)
    _expect(all(e.critical == (e.oid in _CRITICAL) for e in extensions), "criticality", plan)

    constraints = extensions.get_extension_for_class(x509.BasicConstraints).value
    _expect(constraints.ca == shape.is_authority, "basic constraints", plan)
    _expect(constraints.path_length == shape.path_length, "path length", plan)

    usage = extensions.get_extension_for_class(x509.KeyUsage).value
    used = {name for name in ("digital_signature", "key_cert_sign", "crl_sign", *_OTHER_USAGES) if getattr(usage, name)}
    _expect(used == _USAGES[shape.is_authority], "key usage", plan)

    if shape.extended_key_usages:
        usages = extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        _expect(tuple(usages) == shape.extended_key_usages, "extended key usage", plan)
    _check_identifiers(certificate, plan)
    if shape.names_product:
        _check_product_name(extensions.get_extension_for_class(x509.SubjectAlternativeName).value, plan)
    if shape.names_hosts:
        hosts = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        _expect(bool(plan.host_names) and all(map(is_host_name, plan.host_names)), "host names", plan)
        _expect(hosts == encode_host_names(plan.host_names), "host names", plan)
    if not shape.is_self_signed:
        _check_places(extensions, plan)


def _check_identifiers(certificate: x509.Certificate, plan: Plan) -> None:
    subject = certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    authority = certificate.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value
    own = x509.SubjectKeyIdentifier.from_public_key(certificate.public_key())
    _expect(subject.digest == own.digest, "subject key identifier", plan)
    expected = own.digest
    if plan.issuer_der is not None:
        issuer = load_certificate(plan.issuer_der)
        expected = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
        _expect(
            issuer.extensions.get_extension_for_class(x509.BasicConstraints).value.ca, "issuer is no authority", plan
        )
    _expect(authority.key_identifier == expected, "authority key identifier", plan)


def _check_product_name(names: x509.SubjectAlternativeName, plan: Plan) -> None:
    found = list(names)
    _expect(len(found) == 1 and isinstance(found[0], x509.OtherName), "subject alternative name", plan)
    expected = x509.OtherName(PERMANENT_IDENTIFIER, encode_permanent_identifier(plan.permanent_identifier or ""))
    _expect(found == [expected], "permanent identifier", plan)


def _check_places(extensions: x509.Extensions, plan: Plan) -> None:
    points = list(extensions.get_extension_for_class(x509.CRLDistributionPoints).value)
    _expect(len(points) == 1, "revocation list", plan)
    urls = [plan.crl_url, plan.issuer_url]
    _expect(all(url.startswith("http://") for url in urls), "http places", plan)
    _expect(points[0].full_name == [x509.UniformResourceIdentifier(plan.crl_url)], "revocation list", plan)
    access = list(extensions.get_extension_for_class(x509.AuthorityInformationAccess).value)
    place = x509.UniformResourceIdentifier(plan.issuer_url)
    expected = [x509.AccessDescription(AuthorityInformationAccessOID.CA_ISSUERS, place)]
    _expect(access == expected, "issuer's certificate", plan)
