"""The folder in which a product keeps what it must not forget."""

from pathlib import Path
from threading import Thread

import pytest

from agents.smart_agent.errors import StateDamaged, UsageError
from agents.smart_agent.state import State, StateStore
from tests.agents.certificates import key
from tests.agents.conftest import TAG, Device


def test_what_is_written_is_read(tmp_path: Path) -> None:
    store = StateStore(tmp_path / "deep" / "state")
    with store.locked() as state:
        state.last_timestamp = 4711
        store.write(state)
    assert store.read() == State(last_timestamp=4711)


def test_an_existing_folder_is_closed_to_others(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    with StateStore(tmp_path).locked():
        assert tmp_path.stat().st_mode & 0o777 == 0o700


def test_a_folder_of_somebody_elses_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("dear")
    tmp_path.chmod(0o755)
    with pytest.raises(UsageError, match="a folder of its own"), StateStore(tmp_path).locked():
        pass
    assert tmp_path.stat().st_mode & 0o777 == 0o755


def test_a_file_in_the_place_of_the_folder_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("")
    with pytest.raises(UsageError), StateStore(tmp_path / "state").locked():
        pass


@pytest.mark.parametrize("content", ["", "{", '{"format": 2}', '{"last_timestamp": "x"}', "[]"])
def test_a_damaged_state_is_not_taken_for_a_new_one(registered: Device, content: str) -> None:
    (registered.folder / "state.json").write_text(content)
    with pytest.raises(StateDamaged):
        registered.agent.status()
    with pytest.raises(StateDamaged):
        registered.register()
    assert (registered.folder / "state.json").read_text() == content
    assert len(list(registered.folder.glob("key-*"))) == 1, "the key of a state that cannot be read is kept"


def test_a_missing_key_is_named(registered: Device) -> None:
    for path in registered.folder.glob("key-*"):
        path.unlink()
    with pytest.raises(StateDamaged, match="is missing"):
        registered.agent.authorize({TAG: 1})


def test_left_over_files_are_removed(registered: Device) -> None:
    name = registered.store.add_key(key(12))
    (registered.folder / ".new-state.json").write_text("half")
    registered.agent.acknowledge()
    left = {path.name for path in registered.folder.iterdir()}
    assert name not in left
    assert len(left) == 2


def _count(folder: Path, times: int) -> None:
    store = StateStore(folder)
    for _ in range(times):
        with store.locked() as state:
            state.last_timestamp += 1
            store.write(state)


def test_two_programs_take_turns(tmp_path: Path) -> None:
    """The lock belongs to the opened folder, so that threads stand for processes here."""
    folder = tmp_path / "state"
    workers = [Thread(target=_count, args=(folder, 25)) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert StateStore(folder).read().last_timestamp == 50
