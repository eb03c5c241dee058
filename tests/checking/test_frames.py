"""Every unreadable frame is found."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Iterable
from pathlib import Path

import pytest
from PIL import Image

from nr3d.checking import Report
from nr3d.checking.frames import check_readable, decode_all
from nr3d.errors import DataError


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

    found, turned = decode_all(paths, progress, processes)
    assert [path for path, _ in found] == bad
    assert [reason.partition(" (")[0] for _, reason in found] == [
        "cannot be read",
        "is not an image",
        "is empty",
        "is missing",
    ]
    assert turned == []
    assert seen == paths
    assert decode_all(paths, None, processes) == (found, turned)


def test_an_interrupted_progress_ends_the_processes(
    some_bad: tuple[list[str], list[str]],
) -> None:
    def progress(frames: Iterable[str], total: int) -> Iterable[str]:
        yield next(iter(frames))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        decode_all(some_bad[0], progress, processes=True)
    assert multiprocessing.active_children() == []


def test_places_are_relative_to_the_dataset(
    some_bad: tuple[list[str], list[str]], tmp_path: Path
) -> None:
    report = Report("any", tmp_path)
    check_readable(report, some_bad[0], quick=False)
    assert report.decoded == 600
    (finding,) = report.findings
    assert finding.places == ("3.jpg", "255.jpg", "256.jpg", "599.jpg")
    assert (finding.level, "data.bad_frames skip" in finding.remedy) == ("error", True)


@pytest.mark.parametrize("processes", [False, True])
def test_frames_that_are_turned_are_told(
    processes: bool, some_bad: tuple[list[str], list[str]], tmp_path: Path
) -> None:
    """Loaders that do not turn them see other images."""
    paths, bad = some_bad
    exif = Image.Exif()
    for path, orientation in ((paths[7], 6), (paths[8], 1), (paths[300], 3)):
        Path(path).unlink()
        exif[0x0112] = orientation
        Image.effect_noise((16, 32), 50).save(path, exif=exif)
    found, turned = decode_all(paths, None, processes)
    assert [path for path, _ in found] == bad
    assert turned == [paths[7], paths[300]]
    report = Report("any", tmp_path)
    check_readable(report, paths, quick=False)
    assert [finding.level for finding in report.findings] == ["error", "note"]
    assert report.findings[1].places == ("7.jpg", "300.jpg")
    assert "nr3d turns them" in report.findings[1].remedy


def test_whole_frames_of_another_kind_are_not_to_be_unpacked_again(tmp_path: Path) -> None:
    paths = [str(tmp_path / f"{number}.tif") for number in range(4)]
    for number, path in enumerate(paths):
        Image.new("F" if number % 2 else "RGB", (4, 6)).save(path)
    report = Report("any", tmp_path)
    check_readable(report, paths, quick=False)
    (finding,) = report.findings
    assert finding.what == (
        "Frames of which each is a 32-bit float image, whose range is not known"
    )
    assert (finding.level, finding.places) == ("error", ("1.tif", "3.tif"))
    assert "Convert" in finding.remedy


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="no fork")
def test_a_process_that_is_killed_is_one_line(
    some_bad: tuple[list[str], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    paths, _ = some_bad

    def killed(path: str, tracklet: str) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    monkeypatch.setattr("nr3d.checking.frames.decode_frame", killed)
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    with pytest.raises(DataError, match=r"was killed, at .*/0\.jpg or one of the 512 .*memory"):
        decode_all(paths, None, processes=True)
