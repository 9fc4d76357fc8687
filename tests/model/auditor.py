"""An auditor that trusts no figure: everything is recomputed from the records, in its own way, and compared.

It shares no calculation with the product. What differs is returned as sentences; an empty list is a clean audit.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from licensing.api.pools import lines_of, loans_of, show_pool, with_anything_or_pending
from licensing.models import Pool, PurchaseLine
from licensing.services.pools.compliance import assess
from licensing.services.pools.rebuild import check_pools
from licensing.services.pools.timeline import read_outlook
from tests.model.books import Books, group
from tests.model.figures import ALIVE, Figures, recompute
from tests.model.ledger import audit_ledger


def audit(books: Books, now: datetime, *, metered: frozenset[str] = frozenset(), turn: int | None = None) -> list[str]:
    """What is wrong, in sentences. `books` were read in the same snapshot; `metered` are the tags that were ever billed
    by usage.

    Records, live and stored figures and transitions are compared whole. What follows from them elsewhere (the API,
    `check_pools`, what products are told, the outlook) is compared one surface after the other by `turn`, and all of
    them without it.
    """
    surfaces: Sequence[Callable[[Books, datetime, int], Iterator[str]]] = (
        _audit_listing,
        _audit_answers,
        _audit_check,
        _audit_outlook,
    )
    chosen = surfaces if turn is None else [surfaces[turn % len(surfaces)]]
    found = [*audit_ledger(books, now), *_audit_use(books), *_audit_pools(books, now, metered)]
    for surface in chosen:
        found += surface(books, now, (turn or 0) // len(surfaces))
    return found


def _audit_use(books: Books) -> Iterator[str]:
    """Use stands where its instance is, and the history comes to what is in use, for every pool and instance."""
    pools = books.pool_ids()
    now_used: Counter[tuple[int, int | None]] = Counter()
    for use in books.uses.values():
        instance = books.instances[use["instance_id"]]
        if use["virtual_account_id"] != instance["virtual_account_id"]:
            yield f"{instance['udi']} is not where its use of {use['tag']} counts"
        if use["kind"] == "counted" and use["quantity"]:
            key = (use["virtual_account_id"], use["license_id"])
            if key not in pools:
                yield f"{books.name(*key)} is used but has no pool"
            elif instance["is_counted"] and instance["state"] in ALIVE:
                now_used[pools[key], instance["id"]] += use["quantity"]
    for key in sorted({*now_used, *books.noted}, key=str):
        if now_used[key] != books.noted[key]:
            pool = books.pools[key[0]]
            name = books.name(pool["virtual_account_id"], pool["license_id"])
            yield f"{name}: the history of instance {key[1]} comes to {books.noted[key]}, not to {now_used[key]}"


def _audit_pools(books: Books, now: datetime, metered: frozenset[str]) -> Iterator[str]:
    """Live figures, stored figures and transitions."""
    right = recompute(books, now)
    pools = {pool.pk: pool for pool in Pool.objects.with_figures(now)}
    steps = group(books.transitions, "pool_id")
    units = group(books.pools.values(), "unit_id")
    for unit_id, members in units.items():
        unit = books.units[unit_id]
        follows = not _family_changes(books, unit_id)
        yield from _audit_unit(books, unit_id, follows)
        is_fresh = not (unit["valid_until"] and unit["valid_until"] <= now) and not books.waiting & {
            pool["id"] for pool in members
        }
        for row in members:
            name = books.name(row["virtual_account_id"], row["license_id"])
            pool, want = pools[row["id"]], right[row["id"]]
            live: dict[str, tuple[object, object]] = {
                "purchased": (pool.now_purchased, want.purchased),
                "in use": (pool.now_in_use, want.in_use),
                "reserved": (pool.now_reserved, 0),
            }
            if follows:
                live["borrowed"] = (pool.now_borrowed, want.borrowed)
                live["lent"] = (pool.now_lent, want.lent)
                live["balance"] = (pool.now_balance, want.balance)
                live["free"] = (pool.now_free, want.free)
                live["status"] = (pool.now_status, want.status)
            if follows and is_fresh:
                stored = ("purchased", "in_use", "borrowed", "lent", "status")
                live |= {f"stored {figure}": (row[figure], getattr(want, figure)) for figure in stored}
            for figure, (is_so, should_be) in live.items():
                if is_so != should_be:
                    yield f"{name}: {figure} is {is_so}, should be {should_be}"
                if isinstance(is_so, int) and is_so < 0 and figure != "balance":
                    yield f"{name}: {figure} is negative"
            yield from _audit_steps(
                name, row, steps.get(row["id"], []), books.licenses[row["license_id"]]["tag"] in metered
            )


def _audit_check(books: Books, now: datetime, turn: int) -> Iterator[str]:
    """The product's own comparison finds nothing either, and lines say what is left of them."""
    for difference in check_pools(now=now):
        yield f"check_pools: {difference.as_dict()}"
    for line in PurchaseLine.objects.with_remaining():
        if line.remaining != books.remaining(line.pk):
            yield f"line {line.pk}: {line.remaining} left, should be {books.remaining(line.pk)}"


def _audit_unit(books: Books, unit_id: int, follows: bool) -> Iterator[str]:
    """Pools stand where the catalog says, once it was followed, with its newest hierarchy."""
    unit = books.units[unit_id]
    for pool in [pool for pool in books.pools.values() if pool["unit_id"] == unit_id]:
        name = books.name(pool["virtual_account_id"], pool["license_id"])
        if unit["virtual_account_id"] != pool["virtual_account_id"]:
            yield f"{name} is locked by another Virtual Account's unit"
        if follows and books.licenses[pool["license_id"]]["family_id"] != unit["family_id"]:
            yield f"{name} is not in the unit of its family"
        newest = books.newest.get(unit["family_id"])
        if follows and unit["hierarchy_id"] != newest and (books.higher.get(newest or 0) or unit["hierarchy_id"]):
            yield f"{name}: the hierarchy is {unit['hierarchy_id']}, the newest is {newest}"


def _audit_steps(name: str, pool: Mapping[str, Any], steps: list[Any], was_metered: bool) -> Iterator[str]:
    """Transitions alternate from authorized on, and each has figures that say why."""
    status, at = "authorized", None
    for step in steps:
        if (step["old"], step["new"]) not in {(status, "authorized"), (status, "out_of_compliance")}:
            yield f"{name}: a transition from {step['old']} to {step['new']} while it was {status}"
        if step["old"] == step["new"]:
            yield f"{name}: a transition that changes nothing"
        balance = step["purchased"] + step["borrowed"] - step["lent"] - step["in_use"] - step["reserved"]
        is_right = step["balance"] == balance and (
            balance < 0 if step["new"] == "out_of_compliance" else balance >= 0 or was_metered
        )
        if not is_right:
            yield f"{name}: a transition to {step['new']} with the figures {step}"
        if at is not None and step["at"] < at:
            yield f"{name}: a transition before the one before it"
        status, at = step["new"], step["at"]
    if pool["status"] != status:
        yield f"{name}: is {pool['status']}, but the last transition was to {status}"


def _audit_listing(books: Books, now: datetime, turn: int) -> Iterator[str]:
    """Every license as `POST …/licenses` answers it."""
    right, shown = recompute(books, now), _show(now)
    for pk, pool in books.pools.items():
        if pool["license_id"] in books.changing or _family_changes(books, pool["unit_id"]):
            continue
        yield from _audit_shown(books.name(pool["virtual_account_id"], pool["license_id"]), shown.get(pk), right[pk])


def _family_changes(books: Books, unit_id: int) -> bool:
    """Between an import and the turn of this Virtual Account, loans are those of the old hierarchy or the new one."""
    return any(pool["unit_id"] == unit_id and pool["license_id"] in books.changing for pool in books.pools.values())


def _show(now: datetime) -> dict[int, dict[str, Any]]:
    """By pool id."""
    pools = with_anything_or_pending(Pool.objects.with_figures(now), now).select_related("license", "virtual_account")
    lines, loans = lines_of(pools), loans_of(pools, now)
    return {
        pool.pk: show_pool(
            pool, lines.get((pool.virtual_account_id, pool.license_id), []), loans.borrowed_by(pool), now
        )
        for pool in pools
    }


def _audit_shown(name: str, shown: dict[str, Any] | None, want: Figures) -> Iterator[str]:
    if shown is None:
        if want.purchased or want.in_use or want.borrowed or want.lent:
            yield f"{name}: the API does not list it"
        return
    said = (shown["quantity"], shown["inUse"], shown["available"], shown["reserved"], shown["status"])
    label = "In Compliance" if want.status == "authorized" else "Out Of Compliance"
    truth = (want.purchased, want.in_use, want.balance, 0, label)
    if said != truth:
        yield f"{name}: the API says {said}, should be {truth}"
    listed = sum(line["quantity"] for line in shown["licenseDetails"] if line["status"] == "Active")
    substituted = sum(loan["substitutedQuantity"] for loan in shown["licenseSubstitutions"])
    if (listed, substituted) != (want.purchased, want.borrowed):
        yield f"{name}: the API lists {listed} in lines and {substituted} as substituted: {shown}"


def _audit_answers(books: Books, now: datetime, turn: int) -> Iterator[str]:
    """What products of one Virtual Account are told, with and without a change of their own."""
    chosen = _choose(books, turn)
    if chosen is None or books.changing:
        return
    account = chosen["virtual_account_id"]
    pools = [pool for pool in books.pools.values() if pool["virtual_account_id"] == account]
    for growth in (0, 1 + turn % 5):
        right = recompute(books, now, growth={chosen["id"]: growth})
        answer = assess(
            virtual_account_id=account,
            license_ids=[pool["license_id"] for pool in pools],
            own_changes={chosen["license_id"]: growth} if growth else {},
            now=now,
        )
        wanted = {pool["license_id"]: right[pool["id"]].status for pool in pools}
        for license_id, status in wanted.items():
            if answer.statuses[license_id].value != status:
                name = books.name(account, license_id)
                yield f"{name}: products are told {answer.statuses[license_id]}, should be {status}, growth {growth}"
        if answer.va_compliant != all(status == "authorized" for status in wanted.values()):
            name = books.accounts[account]["name"]
            yield f"{name}: products are told compliant={answer.va_compliant}, growth {growth}"


def _choose(books: Books, turn: int) -> Mapping[str, Any] | None:
    """Every pool in its turn, of another Virtual Account each time."""
    accounts = sorted({pool["virtual_account_id"] for pool in books.pools.values()})
    if not accounts:
        return None
    pools = [pool for pool in books.pools.values() if pool["virtual_account_id"] == accounts[turn % len(accounts)]]
    return pools[(turn // len(accounts)) % len(pools)]


def _audit_outlook(books: Books, now: datetime, turn: int) -> Iterator[str]:
    """What is foretold of one family for each later start and end of a line."""
    chosen = _choose(books, turn)
    if chosen is None or books.changing:
        return
    unit_id = chosen["unit_id"]
    outlook = read_outlook(unit_id=unit_id, now=now)
    account = books.units[unit_id]["virtual_account_id"]
    members = {pool["license_id"]: pool["id"] for pool in books.pools.values() if pool["unit_id"] == unit_id}
    instants = {now}
    for pk, line in books.lines.items():
        if line["virtual_account_id"] == account and line["license_id"] in members and books.remaining(pk):
            instants |= {moment for moment in (line["start"], line["end"]) if moment and moment > now}
    if outlook.instants != sorted(instants):
        yield f"unit {unit_id}: foretold for {outlook.instants}, should be {sorted(instants)}"
        return
    for position, moment in enumerate(outlook.instants):
        right = recompute(books, moment)
        for license_id, standing in outlook.at(position).items():
            want = right[members[license_id]]
            said = (
                standing.purchased,
                standing.need,
                standing.borrowed,
                standing.lent,
                standing.balance,
                standing.free,
            )
            truth = (want.purchased, want.in_use, want.borrowed, want.lent, want.balance, want.free)
            if said != truth or standing.status.value != want.status:
                yield f"{books.name(account, license_id)} at {moment}: foretold {said}, should be {truth}"
