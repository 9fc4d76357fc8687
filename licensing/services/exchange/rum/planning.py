"""What is to become of the reports that came together: which are new, which are known, which are refused."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from licensing.codecs.refusals import Refusal, RefusalCode
from licensing.codecs.rum.acknowledgement import Acknowledgement, AckStatus
from licensing.codecs.rum.payload import UsagePayload
from licensing.codecs.rum.report import Submitted
from licensing.models import RumReport
from licensing.services.exchange.rum.judging import FindSource, Judged, judge_report, read_report

Key = tuple[int, str, int]


@dataclass(frozen=True, slots=True)
class Known:
    """The present report of an id: stored (`pk`), or the one before in the same batch."""

    pk: int | None
    tag: str
    start: int
    end: int
    is_closed: bool
    is_verified: bool
    virtual_account_id: int
    digests: frozenset[str]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one report. `payload` is None where it could not be read."""

    status: str
    message: str = ""
    where: str = ""
    payload: UsagePayload | None = None
    virtual_account_id: int | None = None

    @property
    def is_kept(self) -> bool:
        return self.status in set(AckStatus)

    @property
    def acknowledgement(self) -> Acknowledgement:
        return Acknowledgement(self.payload.report_id if self.payload else None, self.status)


@dataclass(frozen=True, slots=True)
class New:
    """A report to be kept. One that replaces another stays where that one counted."""

    judged: Judged
    replaces: bool
    virtual_account_id: int


@dataclass(slots=True)
class Plan:
    """`found` is what was known of each id when the plan was made, None for nothing."""

    outcomes: list[Outcome] = field(default_factory=list)
    new: list[New] = field(default_factory=list)
    found: dict[Key, int | None] = field(default_factory=dict)

    @property
    def acknowledgements(self) -> list[dict[str, Any]]:
        """Each report once, however often it was sent."""
        return [one.acknowledgement.show() for one in self.distinct]

    @property
    def distinct(self) -> list[Outcome]:
        """What was sent twice, or grown, in one batch is one report with one outcome."""
        shown: list[Outcome] = []
        seen: set[tuple[str, int]] = set()
        for one in self.outcomes:
            if one.is_kept and one.payload is not None:
                key = one.payload.udi, one.payload.report_id
                if key in seen:
                    continue
                seen.add(key)
            shown.append(one)
        return shown

    def refuse_if_nothing_is_kept(self) -> None:
        """Raises the `Refusal` of the first report, with what is wrong with each."""
        if any(outcome.is_kept for outcome in self.outcomes):
            return
        first = self.outcomes[0]
        raise Refusal(
            RefusalCode(first.status),
            first.message,
            where=first.where,
            data={"acknowledgements": self.acknowledgements},
        )


def plan_reports(*, submitted: Sequence[Submitted], find_source: FindSource, now: datetime) -> Plan:
    """Reads only; what is wrong with one report concerns that one alone."""
    plan = Plan()
    judged: list[Judged | Outcome] = [_judge(one, find_source, now) for one in submitted]
    known = _find_known(one.key for one in judged if isinstance(one, Judged))
    plan.found = {key: each.pk for key, each in known.items()}
    for one in judged:
        if isinstance(one, Outcome):
            plan.outcomes.append(one)
            continue
        plan.found.setdefault(one.key, None)
        plan.outcomes.append(_place(plan, known, one))
    return plan


def find_current(keys: Iterable[Key]) -> dict[Key, int]:
    """The present report of each id, by (Smart Account, UDI, id)."""
    return {key: known.pk for key, known in _find_known(keys).items() if known.pk is not None}


def _judge(submitted: Submitted, find_source: FindSource, now: datetime) -> Judged | Outcome:
    payload = None
    try:
        payload = read_report(submitted, now=now)
        return judge_report(submitted=submitted, payload=payload, find_source=find_source)
    except Refusal as refusal:
        return Outcome(refusal.code, refusal.message, refusal.where or "", payload)


def _place(plan: Plan, known: dict[Key, Known], judged: Judged) -> Outcome:
    payload, before = judged.payload, known.get(judged.key)
    if before is None:
        place = judged.source.virtual_account_id
    elif payload.digest in before.digests:
        return Outcome(AckStatus.DUPLICATE, "", "", payload, before.virtual_account_id)
    elif not _may_replace(before, judged):
        message = "A report of this id was taken with another content, which this one does not continue."
        return Outcome(RefusalCode.REPLAYED, message, judged.submitted.where, payload)
    else:
        place = before.virtual_account_id
    plan.new.append(New(judged, before is not None, place))
    known[judged.key] = Known(
        pk=None,
        tag=payload.entitlement_tag,
        start=payload.start,
        end=payload.end,
        is_closed=payload.is_closed,
        is_verified=judged.is_verified,
        virtual_account_id=place,
        digests=(before.digests if before else frozenset()) | {payload.digest},
    )
    return Outcome(AckStatus.ACCEPTED, "", "", payload, place)


def _may_replace(before: Known, judged: Judged) -> bool:
    """An open report comes again, longer, until the product closes it. What was verified is not undone by less."""
    payload = judged.payload
    return (
        not before.is_closed
        and before.tag == payload.entitlement_tag
        and before.start == payload.start
        and before.end <= payload.end
        and (judged.is_verified or not before.is_verified)
    )


def _find_known(keys: Iterable[Key]) -> dict[Key, Known]:
    ids: dict[tuple[int, str], set[int]] = {}
    for smart_account, udi, report_id in keys:
        ids.setdefault((smart_account, udi), set()).add(report_id)
    known: dict[Key, Known] = {}
    for (smart_account, udi), wanted in ids.items():
        rows = RumReport.objects.filter(smart_account=smart_account, udi=udi, report_id__in=wanted)
        rows = rows.select_related("meter").defer("payload", "header", "signature").order_by("pk")
        digests: dict[int, set[str]] = {}
        for row in rows:  # the last of an id is the present one
            digests.setdefault(row.report_id, set()).add(row.digest)
            known[smart_account, udi, row.report_id] = Known(
                pk=row.pk,
                tag=row.meter.tag,
                start=int(row.period_start.timestamp()),
                end=int(row.period_end.timestamp()),
                is_closed=row.is_closed,
                is_verified=row.is_verified,
                virtual_account_id=row.virtual_account_id,
                digests=frozenset(digests[row.report_id]),
            )
    return known
