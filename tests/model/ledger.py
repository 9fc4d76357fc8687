"""The auditor's look at what is owned: every unit can be followed to what brought it, and none was made on the way."""

from collections import Counter
from collections.abc import Iterator
from datetime import datetime

from tests.model.books import Books, group

TERMS = ("smart_account_id", "license_id", "license_type", "start", "end", "subscription_id", "order_id")


def audit_ledger(books: Books, now: datetime) -> Iterator[str]:
    yield from _audit_lines(books)
    yield from _audit_allocations(books)
    yield from _audit_totals(books)
    yield from _audit_deleted(books, now)


def owned(books: Books) -> Counter[tuple[int, str]]:
    """What every Smart Account has of each tag, whatever its term."""
    total: Counter[tuple[int, str]] = Counter()
    for pk, line in books.lines.items():
        total[line["smart_account_id"], books.licenses[line["license_id"]]["tag"]] += books.remaining(pk)
    return total


def _audit_lines(books: Books) -> Iterator[str]:
    """Each came by a delivery or correction, or is a part of such a line with the same terms."""
    brought = {allocation["child_id"]: allocation for allocation in books.allocations.values()}
    for pk, line in books.lines.items():
        record = books.records[line["record_id"]]
        if books.remaining(pk) < 0:
            yield f"line {pk}: more was taken than there was"
        if line["quantity"] <= 0 or (line["end"] is not None and line["end"] <= line["start"]):
            yield f"line {pk} makes no sense: {line}"
        if line["parent_id"] is None:
            if record["kind"] not in {"delivery", "correction"} or pk in brought:
                yield f"line {pk} comes from nowhere: {record['kind']}"
            elif record["virtual_account_id"] != line["virtual_account_id"]:
                yield f"line {pk} is not where its {record['kind']} went"
            continue
        parent, allocation = books.lines[line["parent_id"]], brought.get(pk)
        if record["kind"] != "transfer" or line["source"] != "transfer":
            yield f"line {pk} has a parent without a transfer"
        if any(line[term] != parent[term] for term in TERMS):
            yield f"line {pk} has other terms than line {parent['id']}, which it is from"
        if parent["id"] >= pk:
            yield f"line {pk} is older than line {parent['id']}, which it is from"
        if parent["virtual_account_id"] == line["virtual_account_id"]:
            yield f"line {pk} was transferred to where it was"
        if allocation is None or (allocation["line_id"], allocation["quantity"], allocation["record_id"]) != (
            parent["id"],
            line["quantity"],
            line["record_id"],
        ):
            yield f"line {pk}: {line['quantity']} came, but {allocation} left"


def _audit_allocations(books: Books) -> Iterator[str]:
    for pk, allocation in books.allocations.items():
        line, kind = books.lines[allocation["line_id"]], books.records[allocation["record_id"]]["kind"]
        if any(
            allocation[column] != line[column] for column in ("smart_account_id", "virtual_account_id", "license_id")
        ):
            yield f"allocation {pk} is of another pool than its line"
        if allocation["quantity"] <= 0 or (kind == "transfer") != (allocation["child_id"] is not None):
            yield f"allocation {pk} by a {kind} makes no sense: {allocation}"


def _audit_totals(books: Books) -> Iterator[str]:
    """What is left of a license in a Smart Account is what came without what left it."""
    expected: Counter[tuple[int, str]] = Counter()
    for line in books.lines.values():
        if books.records[line["record_id"]]["kind"] in {"delivery", "correction"}:
            expected[line["smart_account_id"], books.licenses[line["license_id"]]["tag"]] += line["quantity"]
    for allocation in books.allocations.values():
        if books.records[allocation["record_id"]]["kind"] in {"termination", "correction"}:
            tag = books.licenses[allocation["license_id"]]["tag"]
            expected[allocation["smart_account_id"], tag] -= allocation["quantity"]
    found = owned(books)
    for key in {*expected, *found}:
        if expected[key] != found[key]:
            yield f"{key[1]}: {found[key]} are left of {expected[key]}"


def _audit_deleted(books: Books, now: datetime) -> Iterator[str]:
    """A deleted Virtual Account has neither licenses that run or will run nor products."""
    deleted = {pk: account for pk, account in books.accounts.items() if account["deleted_at"] is not None}
    if not deleted:
        return
    for account_id, lines in group(books.lines.values(), "virtual_account_id").items():
        if account_id in deleted and any(
            books.remaining(line["id"]) and (line["end"] is None or line["end"] > now) for line in lines
        ):
            yield f"{deleted[account_id]['name']} was deleted and owns something"
    for instance in books.instances.values():
        if instance["virtual_account_id"] in deleted and instance["ended_at"] is None:
            yield f"{deleted[instance['virtual_account_id']]['name']} was deleted with {instance['udi']} in it"
