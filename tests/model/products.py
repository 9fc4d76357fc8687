"""The products of the model: with keys, or without and that much faster; and how a refusal becomes a code."""

import uuid
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

from django.db import IntegrityError, OperationalError, transaction

from accounts.models import VirtualAccount
from accounts.services.virtual_accounts import keep_from_deletion
from cssm.common.errors import DomainError, NotFound
from cssm.common.retries import ATTEMPTS
from cssm.common.statements import in_one
from licensing.models import HaGroup, InstanceContact, Origin, ProductInstance
from licensing.services.devices.answers import Contended
from licensing.services.devices.sessions import Session, accept_message
from licensing.services.devices.usage import User, plan_use, write_use
from licensing.services.pools.compliance import assess
from licensing.states import ACTIVE_STATES, InstanceState, KeyState
from tests.licensing.device_driver import Device, Reply


def attempt(work: Callable[[], Any]) -> str | None:
    """The code of the refusal, or None where it was done."""
    try:
        work()
    except DomainError as refusal:
        return refusal.code
    return None


class Product:
    """A product without keys: everything that a message does but signatures. `says` is what it last reported."""

    def __init__(self) -> None:
        self.piid = str(uuid.UUID(int=0))  # nobody's, until it is made
        self.says: dict[str, int] = {}

    def make(self, virtual_account: VirtualAccount, now: datetime) -> None:
        place = {"smart_account_id": virtual_account.smart_account_id, "virtual_account_id": virtual_account.pk}
        self.piid = str(uuid.uuid4())
        with transaction.atomic():
            origin, _ = Origin.objects.get_or_create(name="direct")
            instance = ProductInstance.objects.create(
                **place,
                origin=origin,
                external_id=self.piid,
                piid=self.piid,
                udi=f"MODEL:{self.piid[:8]}",
                software_tag="software",
                ha_group=HaGroup.objects.create(**place, created_at=now),
                state=InstanceState.REGISTERED,
                registered_at=now,
            )
            if not keep_from_deletion(virtual_account.pk):  # as a registration does
                raise NotFound("There is no such Virtual Account.")
            InstanceContact.objects.create(instance=instance, last_contact_at=now)

    def is_active(self) -> bool:
        return ProductInstance.objects.filter(piid=self.piid, state__in=ACTIVE_STATES).exists()

    def report(self, counts: Mapping[str, int], now: datetime) -> str | None:
        """The whole use, as AUTHORIZATION takes it; judged anew where it was overtaken."""
        failures = 0
        while True:
            session = self._open_session()
            if not session.state.is_active:
                return "NOT_REGISTERED"
            try:
                self._report(session, counts, now)
            except Contended:
                continue
            except (IntegrityError, OperationalError):
                failures += 1
                if failures == ATTEMPTS:
                    raise
                continue
            self.says = {tag: count for tag, count in counts.items() if count}
            return None

    def _report(self, session: Session, counts: Mapping[str, int], now: datetime) -> None:
        user = User(
            instance_id=session.instance_id,
            ha_group_id=session.ha_group_id,
            smart_account_id=session.smart_account_id,
            virtual_account_id=session.virtual_account_id,
            piid=session.piid,
            udi=session.udi,
            is_counted=session.is_counted,
            export_controlled_allowed=session.export_controlled_allowed,
        )
        plan = plan_use(user=user, counts=counts)
        found = assess(
            virtual_account_id=session.virtual_account_id,
            license_ids=plan.license_ids,
            own_changes=plan.by_license,
            now=now,
        )
        is_plain = plan.is_plain and plan.by_license.keys() <= found.pools.keys()
        with in_one() if is_plain else transaction.atomic():
            accept_message(session=session, timestamp=session.last_timestamp + 1, digest="", answer=b"", now=now)
            write_use(actor=session.actor, user=user, plan=plan, pools=found.pools, now=now)

    def _open_session(self) -> Session:
        row = ProductInstance.objects.select_related("contact").get(piid=self.piid)
        until = row.registered_at + timedelta(days=365)
        return Session(
            key_id=0,
            key_state=KeyState.CURRENT,
            is_renewal=False,
            accepted_until=None,
            public_key=b"",
            serial="",
            not_after=until,
            signing_key_id=0,
            signing_key_wrapped=b"",
            instance_id=row.pk,
            smart_account_id=row.smart_account_id,
            virtual_account_id=row.virtual_account_id,
            ha_group_id=row.ha_group_id,
            state=InstanceState(row.state),
            udi=row.udi,
            hostname="",
            ip_address="",
            mac_address="",
            ha_peers=[],
            software_tag=row.software_tag,
            is_counted=row.is_counted,
            claim_lost=row.claim_lost,
            udi_pid=row.udi_pid,
            export_controlled_allowed=True,
            last_timestamp=row.contact.last_timestamp,
            revision=row.contact.revision,
            last_digest="",
            rate_level=0.0,
            rate_at=0,
            piid=str(row.piid),
            identity_until=until,
            has_previous=False,
            is_overdue=False,
        )


class SpeakingProduct(Product):
    """A product with keys, whose messages are signed, sent, answered and verified."""

    def __init__(self, device: Device) -> None:
        super().__init__()
        self.device = device

    def register(self, token: str, now: datetime) -> str | None:
        self.device.now = now
        code = self._read(self.device.register(token))
        if code is None:
            self.piid = str(self.device.piid)
            code = self._read(self.device.ack())
        return code

    def report(self, counts: Mapping[str, int], now: datetime) -> str | None:
        self.device.now = now
        code = self._read(self.device.authorize(counts))
        if code is None:
            self.says = {tag: count for tag, count in counts.items() if count}
        return code

    def leave(self, now: datetime) -> str | None:
        self.device.now = now
        return self._read(self.device.deregister())

    @staticmethod
    def _read(reply: Reply) -> str | None:
        assert reply.code != "INTERNAL", reply.text
        return reply.code
