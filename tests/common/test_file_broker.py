"""The file-system broker: whoever takes a message finds it whole, also while others write."""

import os
from pathlib import Path
from queue import Empty
from threading import Thread

import pytest
from celery import Celery
from kombu import Connection

from cssm import celery
from cssm.common import file_broker
from cssm.common.file_broker import Channel


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for part in ("messages", "control"):
        (tmp_path / part).mkdir()
    return tmp_path


@pytest.fixture
def connection(folder: Path) -> Connection:
    options = {name: str(folder / "messages") for name in ("data_folder_in", "data_folder_out")}
    return Connection(
        "filesystem://localhost/",
        transport="cssm.common.file_broker:Transport",
        transport_options={**options, "control_folder": str(folder / "control")},
    )


@pytest.fixture
def channel(connection: Connection) -> Channel:
    opened = connection.channel()
    assert isinstance(opened, Channel)
    return opened


def test_messages_come_back_in_their_order_and_only_to_their_queue(channel: Channel):
    for number in range(3):
        channel._put("default", {"n": number})
    channel._put("mail", {"n": 9})
    assert [channel._get("default")["n"] for _ in range(3)] == [0, 1, 2]
    with pytest.raises(Empty):
        channel._get("default")
    assert channel._get("mail") == {"n": 9}


def test_nothing_is_left_behind_in_the_folder(channel: Channel, folder: Path):
    channel._put("default", {"n": 1})
    channel._get("default")
    assert os.listdir(folder / "messages") == []


def test_a_message_is_not_seen_before_it_is_whole(channel: Channel, monkeypatch: pytest.MonkeyPatch):
    seen = []

    def look_before(path: Path, target: Path) -> Path:
        seen.append((channel._size("default"), path.read_text()))
        return target

    monkeypatch.setattr(Path, "replace", look_before)
    channel._put("default", {"n": 1})
    assert seen == [(0, '{"n": 1}')]


def test_a_file_that_holds_no_message_does_not_stop_the_reader(channel: Channel, folder: Path):
    (folder / "messages" / "0_a.default.msg").touch()
    (folder / "messages" / "0_b.default.msg").write_text('{"half')
    channel._put("default", {"n": 1})
    assert channel._get("default") == {"n": 1}


def test_each_message_is_taken_once_while_many_write_and_read(connection: Connection):
    taken: list[int] = []

    def write(start: int) -> None:
        channel = connection.clone().channel()
        for number in range(start, start + 100):
            channel._put("default", {"n": number})

    def read() -> None:
        channel = connection.clone().channel()
        while len(taken) < 200:
            try:
                taken.append(channel._get("default")["n"])
            except Empty:
                continue

    threads = [Thread(target=write, args=[0]), Thread(target=write, args=[100])]
    threads += [Thread(target=read, daemon=True) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert sorted(taken) == list(range(200))


def test_queues_bound_at_the_same_moment_are_all_known(connection: Connection, folder: Path):
    def bind(name: str) -> None:
        connection.clone().channel()._queue_bind("portal", name, "", name)

    threads = [Thread(target=bind, args=[f"q{number}"]) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    channel = connection.channel()
    assert {row.queue for row in channel.get_table("portal")} == {f"q{number}" for number in range(8)}
    channel._delete("q3", "portal", "q3", "")
    assert "q3" not in {row.queue for row in channel.get_table("portal")}


def test_celery_uses_this_broker_where_no_other_is_set(settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    settings.CELERY_BROKER_URL = "filesystem://localhost/"
    monkeypatch.setattr(settings, "EMBEDDED_BROKER_DIR", tmp_path)
    app = Celery("embedded", set_as_current=False)
    app.add_defaults(celery._configure)
    with app.connection_for_write() as opened:
        assert isinstance(opened.transport, file_broker.Transport)
        assert isinstance(opened.channel(), Channel)
