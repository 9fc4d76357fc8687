"""Families: the licenses connected by "higher". Pure functions over tags."""

from collections import Counter
from collections.abc import Mapping


def find_cycle(higher: Mapping[str, str | None]) -> list[str]:
    """The tags of one cycle of "higher", from lower to higher; empty where there is none."""
    cleared: set[str] = set()
    for start in higher:
        path: dict[str, None] = {}
        tag: str | None = start
        while tag is not None and tag not in cleared:
            if tag in path:
                steps = list(path)
                return steps[steps.index(tag) :]
            path[tag] = None
            tag = higher.get(tag)
        cleared.update(path)
    return []


def connect(higher: Mapping[str, str | None]) -> dict[str, list[str]]:
    """The families by their topmost license: {top: sorted tags, the top among them}. `higher` must have no cycle."""
    top_of: dict[str, str] = {}
    for start in higher:
        path: list[str] = []
        tag = start
        while tag not in top_of and (above := higher[tag]) is not None:
            path.append(tag)
            tag = above
        top = top_of.setdefault(tag, tag)
        top_of.update(dict.fromkeys(path, top))
    families: dict[str, list[str]] = {}
    for tag in sorted(top_of):
        families.setdefault(top_of[tag], []).append(tag)
    return families


def keep_numbers(families: Mapping[str, list[str]], present: Mapping[str, int]) -> dict[str, int | None]:
    """Which family number each family goes on with, by top tag: most of its licenses have it now; None needs a new one.

    `present` gives the number that each known tag has now. A number is given once: to the family with most of its
    licenses, so that the fewest pools change their lock unit.
    """
    claims = [
        (count, top, number)
        for top, tags in families.items()
        for number, count in Counter(present[tag] for tag in tags if tag in present).items()
    ]
    kept: dict[str, int | None] = dict.fromkeys(families)
    taken: set[int] = set()
    for _count, top, number in sorted(claims, key=lambda claim: (-claim[0], claim[1], claim[2])):
        if kept[top] is None and number not in taken:
            kept[top] = number
            taken.add(number)
    return kept
