"""The auditor's look at one using up: whether what was taken was free, and what was refused was not."""

from collections.abc import Iterator
from datetime import datetime

from tests.model.books import Books, group
from tests.model.figures import recompute


def audit_draws(before: Books, after: Books, now: datetime) -> Iterator[str]:
    """What was used up between the two is no more than was free, today and until the last end of what was drawn on.

    Nothing else may have happened in between.
    """
    new = [row for pk, row in after.allocations.items() if pk not in before.allocations]
    drawn = [row for row in new if after.records[row["record_id"]]["kind"] in {"transfer", "termination"}]
    pools = before.pool_ids()
    for key, rows in group(drawn, "virtual_account_id", "license_id").items():
        if any(not after.runs(row["line_id"], now) for row in rows):
            yield f"{after.name(*key)}: what does not run was taken"
        for moment in instants(before, now):
            quantity = sum(row["quantity"] for row in rows if after.runs(row["line_id"], moment))
            free = recompute(before, moment)[pools[key]].free if key in pools else 0
            if quantity > free:
                yield f"{after.name(*key)}: {quantity} were taken, but {free} are free on {moment}"


def audit_refusal(before: Books, code: str, key: tuple[int, int], quantity: int, now: datetime) -> Iterator[str]:
    """A refused request of one line of any type: too little is free today, or on the later day that it names."""
    pool = before.pool_ids().get(key)
    today = recompute(before, now)[pool].free if pool else 0
    later = [recompute(before, moment)[pool].free for moment in instants(before, now)] if pool else []
    if code in {"NOT_ENOUGH_FREE", "LINES_EXPIRED"} and today >= quantity:
        yield f"{before.name(*key)}: {quantity} were refused ({code}), though {today} are free"
    if code == "NOT_ENOUGH_LATER" and min(later) >= quantity:
        yield f"{before.name(*key)}: {quantity} were refused ({code}), though {min(later)} stay free"


def instants(books: Books, now: datetime) -> list[datetime]:
    """Now, and every later start and end of anything."""
    moments = {moment for line in books.lines.values() for moment in (line["start"], line["end"]) if moment}
    return [now, *sorted(moment for moment in moments if moment > now)]
