"""AUTHORIZATION: the whole current use of a product, answered by the compliance of its Virtual Account.

Never refused for want of licenses: use is recorded, the answer says out of compliance (white paper, "Entitlement
request"). A request whose use has not changed writes nothing but its own receipt.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final

from django.db import transaction

from cssm.common.statements import in_one
from licensing.codecs.device_answer import Echo
from licensing.codecs.device_data import Authorization, parse_authorization
from licensing.codecs.device_message import Request
from licensing.services.devices.answers import compose_success
from licensing.services.devices.details import find_new_details, write_details
from licensing.services.devices.endpoint_use import count_endpoints
from licensing.services.devices.ha_groups import (
    Claim,
    Standing,
    enter_group,
    find_standing,
    lock_active_before,
    relieve,
    takes_over,
)
from licensing.services.devices.sessions import Session, accept_message
from licensing.services.devices.usage import Reported, UsePlan, User, plan_use, write_use
from licensing.services.pools.compliance import VaAssessment, assess
from licensing.states import Compliance, EntitlementStatus, UsageKind

NEXT_REQUEST: Final = timedelta(days=30)
AUTHORIZATION_LIFE: Final = timedelta(days=90)
_STATUSES: Final = {
    UsageKind.INVALID_TAG: EntitlementStatus.INVALID_TAG,
    UsageKind.EXPORT_RESTRICTED: EntitlementStatus.EXPORT_RESTRICTED,
}


def report_use(*, session: Session, request: Request, digest: str, now: datetime) -> bytes:
    """The signed answer. Raises `Refusal` (MALFORMED), `Contended`."""
    authorization = parse_authorization(request.data)
    counts = {each.tag: each.count for each in authorization.entitlements}
    user, standing, plan = _place(session, authorization, counts)
    assessment = assess(
        virtual_account_id=session.virtual_account_id,
        license_ids=plan.license_ids,
        own_changes=_add_relief(plan.by_license, standing, user),
        figures=session.figures,
        now=now,
    )
    data = _describe(plan, assessment)
    answer = compose_success(signer=session.signer, echo=Echo.of(request.header), data=data, now=now)
    is_plain = standing is None and _is_plain(session, authorization, plan, assessment)
    with in_one() if is_plain else transaction.atomic():
        if standing is not None and user.is_counted:
            lock_active_before(standing, instance_id=session.instance_id)
        accept_message(
            session=session,
            timestamp=request.header.timestamp,
            digest=digest,
            answer=answer,
            authorized_until=now + AUTHORIZATION_LIFE,
            now=now,
        )
        if standing is not None:
            user = _settle(session, authorization, user, standing, now)
        write_use(actor=session.actor, user=user, plan=plan, pools=assessment.pools, now=now)
        write_details(session=session, whereabouts=authorization, now=now)
    return answer


def _is_plain(session: Session, authorization: Authorization, plan: UsePlan, assessment: VaAssessment) -> bool:
    """Whether it brings no more than its receipt, or that and a change of use in pools that are there, as most do."""
    if not session.is_settled or find_new_details(session=session, whereabouts=authorization):
        return False
    return plan.is_plain and plan.by_license.keys() <= assessment.pools.keys()


def _place(
    session: Session, authorization: Authorization, counts: Mapping[str, int]
) -> tuple[User, Standing | None, UsePlan]:
    """Who counts for the use, and what the report changes; a standing only where high availability is in play."""
    user = user_of_session(session)
    stands_by = not session.is_counted and not session.claim_lost
    if not (authorization.ha_peers or session.ha_peers or stands_by):
        return user, None, plan_use(user=user, counts=counts, stored=session.use)
    standing = find_standing(_claim_of(session, authorization), group_id=session.ha_group_id)
    if not session.claim_lost:
        user = replace(user, is_counted=True)
        plan = plan_use(user=user, counts=counts, was_counted=session.is_counted, stored=session.use)
        if takes_over(standing, plan.counted):
            return user, standing, plan
        user = replace(user, is_counted=False)
    return user, standing, plan_use(user=user, counts=counts, was_counted=session.is_counted, stored=session.use)


def _add_relief(growth: Mapping[int, int], standing: Standing | None, user: User) -> dict[int, int]:
    """The use of the member that stands by from now on leaves the pools with this message."""
    changes = dict(growth)
    if standing is not None and user.is_counted:
        for license_id, quantity in standing.use.items():
            changes[license_id] = changes.get(license_id, 0) - quantity
    return {license_id: change for license_id, change in changes.items() if change}


def _settle(session: Session, authorization: Authorization, user: User, standing: Standing, now: datetime) -> User:
    """Write where the sender belongs, and who counts there; nothing where both are as before."""
    if user.is_counted:
        relieve(actor=session.actor, standing=standing, instance_id=session.instance_id, now=now)
        standing = replace(standing, active=None)
    if (standing.group_id, user.is_counted) == (session.ha_group_id, session.is_counted):
        return user
    group_id = enter_group(
        actor=session.actor,
        claim=_claim_of(session, authorization),
        piid=session.piid,
        group_id=session.ha_group_id,
        standing=standing,
        is_counted=user.is_counted,
        now=now,
    )
    user = replace(user, ha_group_id=group_id)
    if user.is_counted and not session.is_counted:
        count_endpoints(actor=session.actor, user=user, now=now)
    return user


def _claim_of(session: Session, authorization: Authorization) -> Claim:
    return Claim(
        pk=session.instance_id,
        udi=session.udi,
        smart_account_id=session.smart_account_id,
        virtual_account_id=session.virtual_account_id,
        udi_pid=session.udi_pid,
        software_tag=session.software_tag,
        ha_peers=authorization.peer_udis,
    )


def _describe(plan: UsePlan, assessment: VaAssessment) -> dict[str, Any]:
    overall = Compliance.AUTHORIZED if assessment.va_compliant else Compliance.OUT_OF_COMPLIANCE
    return {
        "compliance_status": overall.label,
        "entitlements": [
            {"tag": each.tag, "count": each.quantity, "status": _status_of(each, assessment)} for each in plan.reported
        ],
        "next_request_seconds": int(NEXT_REQUEST.total_seconds()),
        "authorization_expires_seconds": int(AUTHORIZATION_LIFE.total_seconds()),
    }


def _status_of(each: Reported, assessment: VaAssessment) -> EntitlementStatus:
    if each.license is None or each.kind is not UsageKind.COUNTED:
        return _STATUSES[each.kind]
    if assessment.statuses[each.license.pk] is Compliance.AUTHORIZED:
        return EntitlementStatus.AUTHORIZED
    return EntitlementStatus.OUT_OF_COMPLIANCE


def user_of_session(session: Session) -> User:
    """Who sent the message, as the one whose use it is."""
    return User(
        instance_id=session.instance_id,
        ha_group_id=session.ha_group_id,
        smart_account_id=session.smart_account_id,
        virtual_account_id=session.virtual_account_id,
        piid=session.piid,
        udi=session.udi,
        is_counted=session.is_counted,
        export_controlled_allowed=session.export_controlled_allowed,
    )
