"""The product's states (WP "License states") and clocks, told from its memory alone. Pure; times are Unix ms."""

from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final

import msgspec

from agents.smart_agent.messages import RequestType
from agents.smart_agent.reservation_codes import UNIVERSAL
from agents.smart_agent.state import Evaluation, State

DAY_MS: Final = 24 * 60 * 60 * 1000
EVALUATION_MS: Final = 90 * DAY_MS


class RegistrationState(StrEnum):
    UNREGISTERED = "UNREGISTERED"
    REGISTERED = "REGISTERED"
    UNIDENTIFIED = "UNIDENTIFIED"


class AuthorizationState(StrEnum):
    NONE = "NONE"
    EVALUATION = "EVALUATION"
    EVALUATION_EXPIRED = "EVALUATION_EXPIRED"
    AUTHORIZED = "AUTHORIZED"
    OUT_OF_COMPLIANCE = "OUT_OF_COMPLIANCE"
    AUTHORIZATION_EXPIRED = "AUTHORIZATION_EXPIRED"
    RESERVED = "RESERVED"


def registration_state(state: State) -> RegistrationState:
    """Call `settle` first: it ends an identity whose certificate has expired."""
    if state.identity is not None:
        return RegistrationState.REGISTERED
    return RegistrationState.UNIDENTIFIED if state.was_registered else RegistrationState.UNREGISTERED


def is_consuming(state: State) -> bool:
    return any(entitlement.count for entitlement in state.use)


def authorization_state(state: State, now: int) -> AuthorizationState:
    """What the product may say of itself: about the licenses it consumes, not about all of the virtual account's."""
    if state.reservation.authorization is not None:
        return AuthorizationState.RESERVED
    if not is_consuming(state):
        return AuthorizationState.NONE
    if state.identity is None:
        left = evaluation_left(state)
        return AuthorizationState.EVALUATION if left else AuthorizationState.EVALUATION_EXPIRED
    if state.authorization is None:
        return AuthorizationState.NONE
    if now >= state.authorization.expires_at:
        return AuthorizationState.AUTHORIZATION_EXPIRED
    verdicts = {entitlement.status for entitlement in state.use if entitlement.count} - {None}
    if verdicts:
        return AuthorizationState.AUTHORIZED if verdicts == {"AUTHORIZED"} else AuthorizationState.OUT_OF_COMPLIANCE
    in_compliance = state.authorization.compliance_status == "In Compliance"
    return AuthorizationState.AUTHORIZED if in_compliance else AuthorizationState.OUT_OF_COMPLIANCE


def evaluation_left(state: State) -> int:
    """Whole seconds, as of the last `settle`."""
    return max(0, EVALUATION_MS - state.evaluation.used_ms) // 1000


def settle(state: State, now: int) -> None:
    """Bring the state up to `now`: an expired identity ends at its expiry, and the evaluation clock is advanced.

    The evaluation runs only while the product is unregistered, without a reservation, and consuming. Call it before and
    after each change of these; a clock that went back costs nothing.
    """
    since = state.evaluation.since
    if state.identity is not None and now >= state.identity.expires_at and state.renewal is not None:
        # Its acknowledgement may have arrived though its answer has not: then it is what the server knows us by.
        state.identity, state.renewal = state.renewal, None
    if state.identity is not None and now >= state.identity.expires_at:
        since = state.identity.expires_at if is_consuming(state) else None
        forget_identity(state)
    used = state.evaluation.used_ms
    if since is not None:
        used += max(0, now - since)
    running = state.identity is None and state.reservation.authorization is None and is_consuming(state)
    state.evaluation = Evaluation(used, now if running else None)


def forget_identity(state: State) -> None:
    """Back to UNIDENTIFIED; what is consumed stays consumed, and a registration under way goes on.

    Export keys were for that registration.
    """
    state.identity, state.export_keys = None, []
    state.renewal, state.renewal_key = None, ""
    state.authorization = None
    drop_promises(state)
    state.pending = {kind: one for kind, one in state.pending.items() if kind == RequestType.REGISTRATION}
    state.use = [msgspec.structs.replace(entitlement, status=None) for entitlement in state.use]


def drop_promises(state: State) -> None:
    """Only the registration that asked is answered, and that is over; who asks again is told what became of it."""
    if state.conversion is not None and state.conversion.poll_id is not None:
        state.conversion = None
    state.rum = msgspec.structs.replace(state.rum, poll_id=None)


def describe(state: State, now: int) -> dict[str, Any]:
    """The product as plain data: states, seconds left, deadlines as ISO 8601 in UTC or None."""
    identity, authorization = state.identity, state.authorization
    return {
        "registration": str(registration_state(state)),
        "authorization": str(authorization_state(state, now)),
        "evaluation_seconds_left": evaluation_left(state),
        "next_authorization_at": _next_authorization(state),
        "authorization_expires_at": format_time(authorization.expires_at) if authorization else None,
        "renew_at": format_time(identity.renew_at) if identity else None,
        "id_certificate_expires_at": format_time(identity.expires_at) if identity else None,
        "sudi": msgspec.to_builtins(state.product.sudi) if state.product else None,
        "software_tag_identifier": state.product.software_tag if state.product else None,
        "product_instance_identifier": identity.piid if identity else None,
        "id_cert_serial_number": identity.id_cert_serial if identity else None,
        "acknowledged": identity.acknowledged if identity else False,
        "renewal_pending": state.renewal is not None,
        "smart_account": identity.smart_account if identity else None,
        "virtual_account": identity.virtual_account if identity else None,
        "compliance_status": authorization.compliance_status if authorization else None,
        "entitlements": msgspec.to_builtins(state.use),
        "reservation": _describe_reservation(state),
        "conversion": _describe_conversion(state),
        "usage_reports": {
            "waiting": len(state.rum.waiting),
            "poll_at": format_time(state.rum.poll_at) if state.rum.poll_id is not None else None,
        },
        "export_keys": [
            msgspec.to_builtins(key.authorization.entitlements[0]) for key in state.export_keys if key.authorization
        ],
        "pending": sorted(state.pending),
        "url": state.url or None,
    }


def _describe_reservation(state: State) -> dict[str, Any] | None:
    """None before the first request; no return code, which is for `reserve-return` to show."""
    known = state.reservation
    if not known.sequence:
        return None
    installed = known.authorization
    return {
        "type": "UNIVERSAL" if known.kind == UNIVERSAL else "SPECIFIC",
        "request_code": known.request_code or None,
        "installed_at": format_time(known.installed_at) if installed else None,
        "product_instance_identifier": installed.piid if installed else None,
        "authorization_timestamp": installed.timestamp if installed else None,
        "confirmation_code": known.confirmation_code or None,
        "entitlements": msgspec.to_builtins(installed.entitlements) if installed else [],
    }


def _describe_conversion(state: State) -> dict[str, Any] | None:
    known = state.conversion
    if known is None:
        return None
    return {
        "status": known.status,
        "message": known.message,
        "poll_id": known.poll_id,
        "poll_at": format_time(known.poll_at) if known.poll_id is not None else None,
    }


def _next_authorization(state: State) -> str | None:
    """A registered product that has not reported what it consumes is due at once (WP "Registered state")."""
    if state.identity is None:
        return None
    if state.authorization is not None:
        return format_time(state.authorization.next_at)
    return format_time(state.identity.registered_at) if is_consuming(state) else None


def format_time(milliseconds: int) -> str:
    """`2026-01-31T12:00:00Z`."""
    return datetime.fromtimestamp(milliseconds // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
