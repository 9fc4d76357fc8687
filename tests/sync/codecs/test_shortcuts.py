"""With shortcuts a file reads as it does without them, or says that it must be read without."""

import io
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sync.codecs import shortcuts
from sync.codecs.shortcuts import Misread
from sync.codecs.synchronization import Instance, SynchronizationReader
from sync.errors import FileRefused
from tests.sync.files import Server, account, instance

PEM = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
SERVER = Server(id_cert=PEM, signing_cert=PEM, last_sync="2026-03-01T09:30:00.000Z")
USES = {"tag_a": 3, "tag_b": 1}


class Slow(io.BytesIO):
    """A file that gives a few bytes at a time."""

    step = 1 << 20

    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(min(size or 0, self.step))


def read(content: str, *, shortcuts: bool, step: int = 1 << 20) -> tuple[list[Any], int]:
    """The items, and how many of them were read by shortcuts."""
    file = Slow(content.encode())
    file.step = step
    reader = SynchronizationReader(file, len(content.encode()), shortcuts=shortcuts)
    return list(reader), reader.shortcuts


def outcome(content: str) -> Any:
    try:
        return read(content, shortcuts=False)[0]
    except FileRefused as refused:
        return [(problem.code, problem.line, problem.key) for problem in refused.problems]


def check(content: str, *, step: int = 1 << 20) -> int | None:
    """How many shortcuts were taken, None where the file must be read without any."""
    try:
        items, taken = read(content, shortcuts=True, step=step)
    except (Misread, FileRefused):
        return None
    assert items == outcome(content)
    return taken


def file_of(*rows: str) -> str:
    return SERVER.synchronization_content(account(1, "Engineering", *rows), account(2, "Sales", instance("last")))


@pytest.mark.parametrize(("piece", "step"), [(1 << 20, 1 << 20), (5000, 1 << 20), (3001, 700), (2000, 1)])
def test_plain_instances_are_read_the_short_way(piece: int, step: int, monkeypatch: pytest.MonkeyPatch):
    full = {"hostname": "sw-1", "ip_address": "10.0.0.1", "mac_address": "00:1b:54:00:00:01", "host_identifier": "a/b",
            "registered_at": "2026-03-02T09:30:00.000Z", "ha_group": "g1"}  # fmt: skip
    monkeypatch.setattr(shortcuts, "_PIECE", piece)
    rows = [instance(number, uses=USES, **full) for number in range(1, 400)]
    # All but the last of the file, of which nobody knows that it ends.
    assert check(file_of(*rows, instance(400), instance("x", active=False)), step=step) == 401


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (":id: 7\n", ":id: 7 # the seventh\n"),
        (":id: 7\n", ':id: "7\\u0041"\n'),
        (":id: 7\n", ":id: 7\n\n"),
        (":id: 7\n", ":id:\n      7\n"),
        (":udi_pid:", "? :udi_pid\n    :"),
        (":hostname:", ":hostname: # a comment\n     "),
        ('"sw-1"', "'sw-1'"),
        ('"sw-1"', '"sw-\n      1"'),
        ('"sw-1"', "|\n      sw-1"),
        ('"sw-1"', '"büro"'),
        (":license:\n    - :id: 1", ":license:\n    # used\n    - :id: 1"),
        ("quantity: 1\n", "quantity: 1\n      # the rest is not used\n"),
    ],
)
def test_what_is_not_plain_is_read_the_long_way(old: str, new: str):
    content = file_of(instance(6, uses=USES), instance(7, uses=USES, hostname="sw-1"), instance(8, uses=USES))
    assert check(content) == 3
    changed = content.replace(old, new, 1) if old not in ("quantity: 1\n",) else new.join(content.rsplit(old, 1))
    assert changed != content
    taken = check(changed)
    assert taken in (None, 2)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (":is_active: true", ":is_active: yes"),
        (":is_active: true", ":is_active: true\n    :is_active: true"),
        (":is_active: true", ":is_active: true\n    :colour: red"),
        (":is_active: true\n    ", ""),
        (":id: 7", ":id: 1:30"),
        (":id: 7", ":id: null"),
        (":id: 7", ':id: ""'),
        (":id: 7", f":id: {'7' * 65}"),
        ('"FCW7"', f'"{"F" * 129}"'),
        ('"FCW7"', "12e5"),
        ('"sw-1"', '"2026-03-02"\n    :registered_at: "2026-13-02T09:30:00.000Z"'),
        ("consumed_quantity: 1", "consumed_quantity: 1\n          5"),
        ("consumed_quantity: 1", "consumed_quantity: 01"),
        ("consumed_quantity: 1", "consumed_quantity: 10000000000"),
        ('"tag_b"', '"tag_a"'),
        (":id: 2\n      :tag", ":id: 1\n      :tag"),
        ("    - :id: 2\n      :tag", "      - :id: 2\n        :tag"),
    ],
)
def test_what_is_wrong_is_never_taken_for_right(old: str, new: str):
    content = file_of(instance(6), instance(7, uses=USES, hostname="sw-1"), instance(8))
    assert old in content
    changed = content.replace(old, new, 1)
    if changed.count(":is_active") != content.count(":is_active"):
        changed = content.replace(f":id: 7\n    {old}", f":id: 7\n    {new}", 1)
    with pytest.raises(FileRefused):
        read(changed, shortcuts=False)
    assert check(changed) is None


def indented(text: str, by: int) -> str:
    return "".join(f"{' ' * by}{line}\n" for line in text.splitlines())


@pytest.mark.parametrize(
    "more",
    [
        ":extensions:\n  :notes: |\n" + indented(instance(5), 4),
        ':extensions:\n  :notes: "and\n' + instance(5).replace('"', "") + '  - end"\n',
        ":extensions:\n  :notes: 'and\n" + instance(5) + "  - end'\n",
        ":extensions:\n  :list:\n" + instance(5) + "  :next: 1\n",
        ":extensions:\n" + instance(5) + instance(6),
        ":rum_reports:\n" + instance(5) + "  - :payload: a\n",
    ],
)
def test_what_only_looks_like_an_instance_is_none(more: str):
    content = SERVER.synchronization_content(account(1, "Engineering", instance(7), instance(8)), more=more)
    assert check(content) is None


def test_lines_are_those_of_the_file():
    rows = [instance(number, uses=USES) for number in range(1, 30)]
    content = file_of(*rows).replace(":id: 17\n", ":id: 17 # by hand\n")
    items, taken = read(content, shortcuts=True)
    assert taken == 28
    lines = content.splitlines()
    for item in items:
        if isinstance(item, Instance):
            assert lines[item.line - 1].startswith(f"  - :id: {item.id}")
            for use in item.uses:
                assert lines[use.line - 1].endswith(f"- :id: {use.id}")


VALUES = st.sampled_from(
    ['"a"', '""', "'b'", "c", "1", "01", "true", "no", "null", "~", "1:30", "x:y", "x: y", "a#b", "a #b", '"a\\"b"',
     "|\n        c\n", ">-\n        d", '"ü"', "a,b", "-", "2026-03-02T09:30:00Z", '"2026-03-02T09:30:00Z"', "[]",
     "&a b", "*a", "!!str x", '"e"   ', "f\n          g", '"h\n  - :id: 1"', "x:", "{}", "0x1f", "1e5", ".5"]
)  # fmt: skip
KEYS = st.sampled_from(
    [":hostname", ":ip_address", ":udi_pid", ":ha_group", ":registered_at", ":is_active", ":id", ":license", ":other",
     '":hostname"', "hostname", "<<"]
)  # fmt: skip
INDENTS = st.sampled_from(["", "", "", " ", "  ", "\t", "# "])


@st.composite
def odd_instances(draw: st.DrawFn) -> str:
    """Plain instances with now and then something else in them."""
    text = ""
    for number in range(draw(st.integers(1, 5))):
        lines = instance(number, uses=draw(st.sampled_from([{}, {"t": 1}, USES]))).splitlines()
        for _ in range(draw(st.integers(0, 2))):
            place = draw(st.integers(0, len(lines)))
            match draw(st.integers(0, 4)):
                case 0:
                    lines.insert(place, f"    {draw(KEYS)}: {draw(VALUES)}")
                case 1 if place < len(lines):
                    lines[place] = f"{lines[place].partition(': ')[0]}: {draw(VALUES)}"
                case 2 if place < len(lines):
                    lines[place] = draw(INDENTS) + lines[place]
                case 3 if place < len(lines):
                    lines[place] = lines[place].removeprefix("  ")
                case 4 if place < len(lines):
                    lines[place] += draw(st.sampled_from(["\r", "\n", " ", " #", "\u2028", "\u0085"]))
        text += "\n".join(lines) + "\n"
    return text


@settings(max_examples=800, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(rows=odd_instances(), around=st.sampled_from(["", instance("before", uses=USES)]))
def test_with_and_without_shortcuts_a_file_says_the_same(rows: str, around: str):
    check(SERVER.synchronization_content(account(1, "Engineering", around, rows, instance("after"))))
