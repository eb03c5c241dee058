"""Results that are kept until their file changes."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from nr3d.files import file_states
from nr3d.files.file_states import OncePerState


class Reader:
    """Reads a text, and counts how often."""

    def __init__(self) -> None:
        self.count = 0
        self.once = OncePerState(self.read)

    def read(self, path: Path) -> str:
        self.count += 1
        return path.read_text()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file that has been as it is for a while."""
    path = tmp_path / "file.txt"
    path.write_text("old")
    time.sleep(0.06)
    return path


def write_in_place(path: Path) -> None:
    path.write_text("new")


def replace(path: Path) -> None:
    """Put another file of the same size and time of modification in its place."""
    before, other = path.stat(), path.with_name("other")
    other.write_text("new")
    os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
    other.replace(path)


def write_with_the_old_time(path: Path) -> None:
    before = path.stat()
    path.write_text("new")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_a_file_is_read_once(path: Path) -> None:
    reader = Reader()
    assert [reader.once(path) for _ in range(3)] == ["old"] * 3
    assert reader.count == 1


@pytest.mark.parametrize("change", [write_in_place, replace, write_with_the_old_time])
def test_a_changed_file_is_read_again(path: Path, change: Callable[[Path], None]) -> None:
    reader = Reader()
    reader.once(path)
    change(path)
    assert reader.once(path) == "new"


def test_quick_changes_that_leave_the_same_times_are_seen(path: Path) -> None:
    reader = Reader()
    for number in range(200):
        path.write_text(f"{number:3}")
        assert reader.once(path) == f"{number:3}"


def test_a_file_that_may_change_within_the_same_tick_is_read_again(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = Reader()
    monkeypatch.setattr(file_states, "_TICK", 10**18)
    assert [reader.once(path) for _ in range(3)] == ["old"] * 3
    assert reader.count == 3


def test_a_file_that_changes_while_it_is_read_is_read_again(path: Path) -> None:
    reader = Reader()

    def read(path: Path) -> str:
        text = reader.read(path)
        path.write_text("new")
        time.sleep(0.06)
        return text

    once = OncePerState(read)
    assert [once(path), once(path)] == ["old", "new"]


def test_a_file_can_be_read_again_on_demand(path: Path) -> None:
    reader = Reader()
    reader.once(path)
    reader.once.forget(path)
    reader.once(path)
    assert reader.count == 2


def test_a_renamed_file_is_not_read_again(path: Path) -> None:
    reader, target = Reader(), path.with_name("new.txt")
    reader.once(path)
    path.replace(target)
    reader.once.renamed(path, target)
    assert reader.once(target) == "old"
    assert reader.count == 1


def test_a_file_that_changes_as_it_is_renamed_is_read_again(path: Path) -> None:
    reader, target = Reader(), path.with_name("new.txt")
    reader.once(path)
    path.write_text("new")
    path.replace(target)
    reader.once.renamed(path, target)
    assert reader.once(target) == "new"


def test_errors_are_not_kept(path: Path) -> None:
    reader, missing = Reader(), path.with_name("missing")
    with pytest.raises(FileNotFoundError):
        reader.once(missing)
    missing.write_text("there")
    assert reader.once(missing) == "there"
