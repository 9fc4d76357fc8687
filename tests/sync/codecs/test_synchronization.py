"""The synchronization request, item by item, and everything that is refused in it."""

import io
from pathlib import Path
from typing import Any

import pytest

from sync.codecs.envelope import read_envelope
from sync.codecs.synchronization import Account, Header, Instance, SynchronizationReader
from sync.errors import FileCode, FileRefused
from tests.sync.files import Server, account, instance

GOLDEN = Path(__file__).parents[2] / "formats" / "onprem"
DEEP = ":extensions:\n" + "".join("  " * n + f":a{n}:\n" for n in range(1, 40))
PEM = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"


@pytest.fixture
def server() -> Server:
    return Server(id_cert=PEM, signing_cert=PEM, last_sync="2026-03-01T09:30:00.000Z")


def read(content: str | bytes) -> list[Any]:
    data = content.encode() if isinstance(content, str) else content
    return list(SynchronizationReader(io.BytesIO(data), len(data)))


def refusal(content: str | bytes) -> FileRefused:
    with pytest.raises(FileRefused) as caught:
        read(content)
    return caught.value


def test_a_file_is_read_as_its_items(server: Server):
    items = read(
        server.synchronization_content(
            account(1, "Engineering", instance(7, uses={"tag_a": 3, "tag_b": 0}, hostname="sw-1", ha_group="g1")),
            account("x2", "Sales"),
        )
    )
    header, first, engineering, sales, whole = items
    assert whole == header
    assert isinstance(header, Header)
    assert (header.last_sync, header.collector_id, header.is_full) == ("2026-03-01T09:30:00.000Z", server.uuid, False)
    assert isinstance(first, Instance)
    assert (first.id, first.account, first.udi_serial_number, first.hostname, first.ha_group) == (
        "7",
        0,
        "FCW7",
        "sw-1",
        "g1",
    )
    assert [(use.tag, use.quantity) for use in first.uses] == [("tag_a", 3), ("tag_b", 0)]
    assert [(item.position, item.id, item.name) for item in (engineering, sales) if isinstance(item, Account)] == [
        (0, "1", "Engineering"),
        (1, "x2", "Sales"),
    ]


def test_null_as_last_synchronization_means_a_full_one(server: Server):
    header, _ = read(server.synchronization_content(full=True))
    assert header.is_full


def test_what_is_behind_the_accounts_counts_too(server: Server):
    content = server.synchronization_content(account(1, "Engineering", instance(7)))
    line = next(line for line in content.splitlines(keepends=True) if line.startswith(":last-sync:"))
    items = read(content.replace(line, "") + line)
    assert isinstance(items[-1], Header)


def test_extensions_may_hold_anything_within_the_limits(server: Server):
    items = read(server.synchronization_content(more=":extensions:\n  anything: [ ]\n  :more:\n  - 1:30\n  - a: b\n"))
    assert len(items) == 2


@pytest.mark.parametrize(
    ("old", "new", "code", "key", "line"),
    [
        (':sync_version: "1"', ':sync_version: !!python/object:os.system "1"', "FORBIDDEN_YAML", "", 3),
        (':sync_version: "1"', ":sync_version: !ruby/object:Gem x", "FORBIDDEN_YAML", "", 3),
        (':sync_version: "1"', ":sync_version: ! x", "FORBIDDEN_YAML", "", 3),
        (':sync_version: "1"', ':sync_version: &a "1"', "FORBIDDEN_YAML", "", 3),
        (':sync_version: "1"', ":sync_version: *a", "FORBIDDEN_YAML", "", 3),
        (':sync_version: "1"', "<<: {}", "FORBIDDEN_YAML", "", 3),
        (':sync_version: "1"', '":sync_version": "1"', "FORBIDDEN_YAML", "", 3),
        (':sync_version: "1"', ":sync_version: {a: b}", "FORBIDDEN_YAML", "", 3),
        (':sync_version: "1"', ':sync_version: ["1"]', "FORBIDDEN_YAML", "", 3),
        (':sync_version: "1"', '? [a]\n: "1"', "FORBIDDEN_YAML", "", 3),
        (':sync_version: "1"', ':sync_version: "1\\0"', "MALFORMED", "", 3),
        (':sync_version: "1"', ':sync_version: "1', "MALFORMED", "", -1),
        (':sync_version: "1"', ":sync_version:\n  :a: b", "WRONG_TYPE", ":sync_version:", 4),
        (':sync_version: "1"', ":sync_version: 1:30", "WRONG_TYPE", ":sync_version:", 3),
        (':sync_version: "1"', ":sync_version: 017", "WRONG_TYPE", ":sync_version:", 3),
        (':sync_version: "1"', ":sync_version: .nan", "WRONG_TYPE", ":sync_version:", 3),
        (':sync_version: "1"', ":sync_version: yes", "WRONG_TYPE", ":sync_version:", 3),
        (':sync_version: "1"', ":sync_version:", "WRONG_TYPE", ":sync_version:", 3),
        (':sync_version: "1"', ':sync_version: "1"\n:sync_version: "1"', "DUPLICATE", ":sync_version:", 4),
        (':sync_version: "1"', ':sync_version: "1"\n:colour: blue', "UNKNOWN_KEY", ":colour:", 4),
        (':sync_version: "1"\n', "", "MISSING_KEY", ":sync_version:", 1),
        ("2026-03-02T10:00:00.000Z", "2026-03-02 10:00", "WRONG_TYPE", ":last_generated:", 7),
        ("2026-03-02T10:00:00.000Z", "2026-02-30T10:00:00Z", "OUT_OF_RANGE", ":last_generated:", 7),
        (":consumed_quantity: 3", ":consumed_quantity: 03", "WRONG_TYPE", "consumed_quantity", 0),
        (":consumed_quantity: 3", ":consumed_quantity: 0o3", "WRONG_TYPE", "consumed_quantity", 0),
        (":consumed_quantity: 3", ":consumed_quantity: 1:30", "WRONG_TYPE", "consumed_quantity", 0),
        (":consumed_quantity: 3", ":consumed_quantity: .NaN", "WRONG_TYPE", "consumed_quantity", 0),
        (":consumed_quantity: 3", ":consumed_quantity: -3", "WRONG_TYPE", "consumed_quantity", 0),
        (":consumed_quantity: 3", ":consumed_quantity: 3.0", "WRONG_TYPE", "consumed_quantity", 0),
        (":consumed_quantity: 3", ":consumed_quantity: 1_000", "WRONG_TYPE", "consumed_quantity", 0),
        (":consumed_quantity: 3", ':consumed_quantity: "3"', "WRONG_TYPE", "consumed_quantity", 0),
        (":consumed_quantity: 3", ":consumed_quantity: 1000000001", "OUT_OF_RANGE", "consumed_quantity", 0),
        (":is_active: true", ":is_active: yes", "WRONG_TYPE", ":is_active:", 0),
        ('"FCW7"', f'"{"x" * 129}"', "OUT_OF_RANGE", ":udi_serial_number:", 0),
        (":format: cssm-onprem/1", ":format: cssm-onprem/2", "UNSUPPORTED_FORMAT", ":format:", 1),
        ("synchronization_request", "registration_request", "UNSUPPORTED_FORMAT", ":type:", 2),
    ],
)  # fmt: skip
def test_what_is_refused_is_named_with_line_key_and_code(
    server: Server, old: str, new: str, code: str, key: str, line: int
):
    content = server.synchronization_content(account(1, "Engineering", instance(7, uses={"tag_a": 3})))
    assert old in content
    problem = refusal(content.replace(old, new, 1)).problems[0]
    assert problem.code == code
    assert key in problem.key
    assert problem.message
    assert problem.line == line if line > 0 else problem.line > (10 if line == 0 else 0)


@pytest.mark.parametrize(
    ("wrap", "code"),
    [
        (lambda content: "---\n" + content, "FORBIDDEN_YAML"),
        (lambda content: "%YAML 1.1\n---\n" + content, "FORBIDDEN_YAML"),
        (lambda content: content + "...\n", "FORBIDDEN_YAML"),
        (lambda content: content + "--- \n" + content, "FORBIDDEN_YAML"),
        (lambda content: "- " + content, "WRONG_TYPE"),
        (lambda content: "- a\n", "WRONG_TYPE"),
        (lambda content: "", "MALFORMED"),
        (lambda content: content.encode() + b":x: \xff\n", "MALFORMED"),
        (lambda content: content.encode() + b":x: \x07\n", "MALFORMED"),
        (lambda content: content + DEEP, "TOO_LARGE"),
        (lambda content: content + ":extensions: " + "[" * 100_000, "FORBIDDEN_YAML"),
        (lambda content: content + ":extensions:\n  " + "- " * 100_000 + "a\n", "TOO_LARGE"),
        (lambda content: content + f':extensions:\n  a: "{"x" * 65_537}"\n', "TOO_LARGE"),
        (lambda content: content + f':extensions:\n  a: "{"x" * 50_000_000}"\n', "TOO_LARGE"),
        (lambda content: content + ":extensions:\n  a: |\n" + ("    " + "x" * 70 + "\n") * 700_000, "TOO_LARGE"),
        (lambda content: content + ":extensions:\n  a: 1\n  a: 2\n", "FORBIDDEN_YAML"),
    ],
)  # fmt: skip
def test_what_is_no_content_is_refused_as_a_whole(server: Server, wrap: Any, code: str):
    assert refusal(wrap(server.synchronization_content())).code == code


def test_every_problem_is_told_at_once(server: Server):
    content = server.synchronization_content(account(1, "Engineering", instance(7), instance(8)))
    content = content.replace(':udi_pid: "C9300-24UX"\n', ":colour: blue\n")
    problems = refusal(content).problems
    assert [problem.code for problem in problems] == [
        FileCode.UNKNOWN_KEY,
        FileCode.MISSING_KEY,
        FileCode.UNKNOWN_KEY,
        FileCode.MISSING_KEY,
    ]
    assert problems[3].key == ":virtual_accounts:[0]:product_instances:[1]:udi_pid:"


def test_a_license_twice_in_one_instance_is_refused(server: Server):
    twice = instance(7, uses={"tag_a": 3, "tag_b": 1}).replace("tag_b", "tag_a")
    problem = refusal(server.synchronization_content(account(1, "Engineering", twice))).problems[0]
    assert (problem.code, problem.key) == (
        "DUPLICATE",
        ":virtual_accounts:[0]:product_instances:[0]:license:[1]:tag:",
    )


def test_the_golden_file_reads_as_its_items():
    data = (GOLDEN / "synchronization_request.yaml").read_bytes()
    length = read_envelope(io.BytesIO(data), len(data)).content_length
    items = list(SynchronizationReader(io.BytesIO(data), length))
    assert [type(item).__name__ for item in items] == [
        "Header", "Conversion", "RumReport", "Instance", "Instance", "Account", "Account", "Header",
    ]  # fmt: skip
    assert items[1].content[":conversion_lines"][0][":entitlement_tag"] == "tag_a"
    assert items[2].content[":payload"] == "{}"
    assert items[3].registered_at is not None
