"""Time order is read from names of any pattern, and every unreadable frame is found."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import pytest
from PIL import Image

from nr3d.data.checking import Finding, Report
from nr3d.data.checking.frames import check_order, check_readable, unreadable


def order_of(names: Sequence[str]) -> Report:
    report = Report("any", Path("any"))
    check_order(report, [("here", names)], "the list", "Sort them.")
    return report


@pytest.mark.parametrize(
    "names",
    [
        ["0001C1T0001F001.jpg", "0001C1T0001F002.jpg"],
        ["9.png", "10.png", "11.png"],
        ["cam1_person001_00009.png", "cam1_person001_00010.png"],
        # the frame's number is not the last one, or there are a second and a part of it
        ["frame8_cam2.jpg", "frame9_cam2.jpg", "frame10_cam2.jpg"],
        ["12-59-59_2.jpg", "13-00-00_0.jpg", "13-00-00_1.jpg"],
        ["only.jpg1.png"],
    ],
)
def test_frames_in_time_order(names: list[str]) -> None:
    assert order_of(names).findings == []


@pytest.mark.parametrize(
    ("names", "level", "what", "place"),
    [
        (["2.png", "1.png"], "warning", "in time order in the list", "1.png comes after 2.png"),
        (["1.png", "01.png"], "warning", "in time order", "01.png comes after 1.png"),
        (["a_2.png", "a_2b.png"], "warning", "named by one pattern", "a_2.png and a_2b.png"),
        (["a1.png", "b2.png"], "warning", "named by one pattern", "a1.png and b2.png"),
        (["first.png", "second.png"], "warning", "with a number", "first.png and second.png"),
        (["first.png"], "warning", "with a number", "here: first.png"),
        (["1.png", "2.png", "5.png", "9.png"], "note", "gaps in time", "from 2.png to 5.png"),
    ],
)
def test_frames_that_are_not(
    names: list[str], level: str, what: str, place: str, only: Callable[..., Finding]
) -> None:
    report = order_of(names)
    finding = only(report, level, what)
    assert report.findings == [finding]
    assert len(finding.places) == 1
    assert place in finding.places[0]
    assert finding.mend


def test_the_mend_of_the_order_is_the_callers() -> None:
    assert order_of(["2.png", "1.png"]).findings[0].mend == "Sort them."


@pytest.fixture
def some_bad(tmp_path: Path) -> tuple[list[str], list[str]]:
    """600 frames, three chunks of them, and which are bad."""
    whole = tmp_path / "whole.jpg"
    Image.effect_noise((16, 32), 50).save(whole)
    paths = []
    for number in range(600):
        paths.append(str(tmp_path / f"{number}.jpg"))
        os.link(whole, paths[-1])
    bad = [paths[3], paths[255], paths[256], paths[599]]
    for path in bad:
        Path(path).unlink()
    Path(bad[0]).write_bytes(whole.read_bytes()[:300])
    Path(bad[1]).write_text("no image")
    Path(bad[2]).touch()
    return paths, bad  # the last one is missing


@pytest.mark.parametrize("processes", [None, False, True])
def test_all_unreadable_frames_are_found(
    processes: bool | None, some_bad: tuple[list[str], list[str]]
) -> None:
    paths, bad = some_bad
    seen: list[str] = []

    def progress(frames: Iterable[str], total: int) -> Iterable[str]:
        assert total == len(paths)
        for frame in frames:
            seen.append(frame)
            yield frame

    assert unreadable(paths, progress, processes) == bad
    assert seen == paths
    assert unreadable(paths, None, processes) == bad


def test_an_interrupted_progress_ends_the_processes(
    some_bad: tuple[list[str], list[str]],
) -> None:
    def progress(frames: Iterable[str], total: int) -> Iterable[str]:
        yield next(iter(frames))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        unreadable(some_bad[0], progress, processes=True)
    assert multiprocessing.active_children() == []


def test_places_are_relative_to_the_dataset(
    some_bad: tuple[list[str], list[str]], tmp_path: Path
) -> None:
    report = Report("any", tmp_path)
    check_readable(report, some_bad[0], quick=False)
    assert report.decoded == 600
    (finding,) = report.findings
    assert finding.places == ("3.jpg", "255.jpg", "256.jpg", "599.jpg")
    assert (finding.level, "data.bad_frames skip" in finding.mend) == ("error", True)
