"""A fleet through more than a year: every transition on its day, every warning once, no product stranded."""

import os
from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

import pytest

from agents.smart_agent.client import SmartAgent
from agents.smart_agent.errors import NetworkFailure
from agents.smart_agent.fleet import VirtualClock, summarise, walk
from agents.smart_agent.messages import Sudi
from agents.smart_agent.runner import Runner
from agents.smart_agent.schedule import DAY, WARNINGS
from agents.smart_agent.state import Product, StateStore
from alerts.models import Alert
from alerts.services.dispatch import dispatch
from alerts.states import AlertType
from licensing.models import InstanceNotice, Pool, ProductInstance, Usage
from licensing.services.devices.lives import advance_lives
from licensing.services.devices.tokens import create_token
from licensing.services.exchange.dispatch import answer_message
from licensing.services.pools.fold import fold_due
from licensing.services.pools.rebuild import check_pools
from licensing.states import InstanceState, NoticeKind
from pki.services.authorities import read_pem
from pki.states import AuthorityName
from tests.authorities import prepare_authorities
from tests.keys import use_distinct_keys
from tests.licensing.stock import deliver, line

DAYS = 400
PRODUCTS = 2_000 if os.environ.get("SOAK") else 50
TAG = "ADVANTAGE"
LOST, ABSENT, DEAF = 0, 1, 2
"""What becomes of products by the last digit of their number: gone for good from day 60; away from day 100 to 220; one
that loses the answer to every third message."""


@dataclass
class Line:
    """To the server in memory, at the time of the clock."""

    number: int
    clock: VirtualClock
    start: datetime
    sent: int = 0

    def connect(self, url: str) -> "Line":
        return self

    def send(self, body: bytes) -> bytes:
        self.sent += 1
        answer = answer_message(body=body, source_ip="192.0.2.1", now=self.clock.now)
        if self.number % 10 == DEAF and self.sent % 3 == 0 and self.clock.now > self.start:
            raise NetworkFailure("The answer got lost.")
        return answer


def enlist(count, *, folder, clock, token):
    start, runners = clock.milliseconds, []
    root = read_pem(AuthorityName.ROOT)
    for number in range(count):
        line = Line(number, clock, clock.now)
        agent = SmartAgent(StateStore(folder / str(number), durable=False), connect=line.connect, clock=clock)
        product = Product(sudi=Sudi(udi_pid="FLEET", udi_serial_number=f"F{number:04}"), software_tag="SOFTWARE")
        agent.register(url="http://portal", root=root, product=product, token=token)
        agent.acknowledge()
        agent.authorize({TAG: 1})

        def is_reachable(now, number=number):
            day = (now - start) / DAY
            if number % 10 == LOST:
                return day < 60
            return not (number % 10 == ABSENT and 100 <= day < 220)

        runners.append(Runner(agent, is_reachable=is_reachable, keeps_plan=False))
    return runners


@pytest.fixture
def fleet_token(alice, engineering, actor_of, now, monkeypatch):
    """There are more products than keys to borrow, and making two for each renewal would take longer than the rest."""
    prepare_authorities(now, monkeypatch)
    supply = use_distinct_keys(monkeypatch)
    monkeypatch.setattr("agents.smart_agent.client.generate_key", lambda: next(supply))
    return create_token(actor=actor_of(alice), virtual_account=engineering, lifetime_days=9999, now=now)[1]


def sweep(now):
    advance_lives(now=now)
    fold_due(now=now)
    dispatch(now=now)


@pytest.mark.soak
def test_a_fleet_through_400_days(fleet_token, engineering, make_license, tmp_path, now):
    count = PRODUCTS
    # Too few for all, enough for those that stay: short until the lost ones are removed.
    deliver(engineering, line(make_license(TAG), count * 19 // 20), now=now)
    clock = VirtualClock(now)
    runners = enlist(count, folder=tmp_path, clock=clock, token=fleet_token)
    heard = walk(runners, clock=clock, days=DAYS, each_day=sweep)

    by_digit = {digit: [n for n in range(count) if n % 10 == digit] for digit in range(10)}
    states = dict(ProductInstance.objects.values_list("udi_serial_number", "state"))
    notices: dict[int, list[tuple[str, int]]] = {}
    for notice in InstanceNotice.objects.select_related("instance").order_by("at", "pk"):
        number = int(notice.instance.udi_serial_number[1:])
        notices.setdefault(number, []).append((notice.kind, (notice.at - now).days))

    for number in by_digit[LOST]:
        assert states[f"F{number:04}"] == InstanceState.EXPIRED
        # The last authorization was that of day 30, for day 60 came too late.
        assert notices.pop(number) == [
            (NoticeKind.FAILED_TO_CONNECT, 120),
            (NoticeKind.FAILED_TO_RENEW, 181),
            (NoticeKind.REMOVED, 364),
        ]
    for number in by_digit[ABSENT]:
        assert notices.pop(number) == [(NoticeKind.FAILED_TO_CONNECT, 180), (NoticeKind.FAILED_TO_RENEW, 181)]
    assert notices == {}
    alive = [number for digit in range(10) if digit != LOST for number in by_digit[digit]]
    assert {states[f"F{number:04}"] for number in alive} == {InstanceState.REGISTERED}
    standing = InstanceNotice.objects.standing()
    assert {row.kind for row in standing} <= {NoticeKind.REMOVED}
    assert Alert.objects.filter(cleared_at=None, type__startswith="instance").count() == standing.count()
    of_instances = Alert.objects.filter(type__startswith="instance")
    assert of_instances.count() == 3 * len(by_digit[LOST]) + 2 * len(by_digit[ABSENT])
    [shortage] = Alert.objects.filter(type=AlertType.INSUFFICIENT_LICENSES)
    assert ((shortage.raised_at - now).days, (shortage.cleared_at - now).days) == (1, 365)

    start = int(now.timestamp() * 1000)
    said: dict[int, dict[str, list[int]]] = {number: defaultdict(list) for number in range(count)}
    for each in heard:
        said[each.product][each.line.name].append(each.line.at)
    for number in by_digit[LOST]:
        [end] = said[number]["ID_CERT_EXPIRED"]
        assert (end - start) // DAY == 364
        assert said[number]["ID_CERT_EXPIRED_WARNING"] == [end - before for before in WARNINGS]
        expired = [round((at - start) / DAY, 3) for at in said[number]["AUTH_EXPIRED"]]
        assert expired == [120 + 7 * week for week in range(len(expired))]
        assert said[number]["EVAL_EXPIRED"] == []  # 35 of 90 days
    for number in by_digit[ABSENT]:
        assert [(at - start) // DAY for at in said[number]["AUTH_EXPIRED"]] == [180, 187, 194, 201, 208, 215]
    for number in alive:
        told = said[number]
        assert len(told["ID_CERT_RENEW_SUCCESS"]) == 2 or number % 10 == DEAF
        assert told["ID_CERT_EXPIRED"] == told["ID_CERT_EXPIRED_WARNING"] == []
        [cured] = told["IN_COMPLIANCE"]
        assert 365 <= (cured - start) // DAY <= 390
        if number % 10 != ABSENT:
            assert {round((later - sooner) / DAY, 3) for sooner, later in pairwise(told["OUT_OF_COMPLIANCE"])} == {7}
        assert told["AUTH_EXPIRED"] == [] or number % 10 == ABSENT

    # Nobody is stranded: each that lives can still speak, and what is counted is what they use.
    for number in alive:
        if number % 10 != DEAF:
            assert [line.name for line in runners[number].step()] == []
    total = sum(Usage.objects.counted().values_list("quantity", flat=True))
    assert total == len(alive)
    assert (Pool.objects.get().in_use, check_pools(now=clock.now)) == (total, [])
    summary = summarise(runners, heard, clock)
    assert summary["registration"] == {"REGISTERED": len(alive), "UNIDENTIFIED": len(by_digit[LOST])}
    assert clock.now - now == timedelta(days=DAYS)
