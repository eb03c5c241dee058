"""Time order and reading of frames."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest
from PIL import Image

from nr3d.data import in_time_order, read_frame
from nr3d.errors import DataError, FrameError


def test_numbers_count_by_value_whatever_the_order() -> None:
    names = [f"a/b10/{i}.png" for i in (1, 2, 9, 10, 11, 100)]
    assert in_time_order(names[::-1]) == tuple(names)
    mars = [f"0001C1T0001F{i:03d}.jpg" for i in range(1, 30)]
    assert in_time_order(sorted(mars, key=hash)) == tuple(mars)
    mixed = ["frame.png", "frame2.png", "2.png", "x10y3.png", "x10y20.png", "x9y99.png"]
    assert in_time_order(mixed) == in_time_order(mixed[::-1])
    assert in_time_order(mixed)[-3:] == ("x9y99.png", "x10y3.png", "x10y20.png")


def test_reads_rgb(tmp_path: Path) -> None:
    path = tmp_path / "grey.png"
    Image.new("L", (3, 5), 7).save(path)
    frame = read_frame(str(path), "someone")
    assert (frame.mode, frame.size, frame.getpixel((0, 0))) == ("RGB", (3, 5), (7, 7, 7))


def test_numbers_of_any_length_and_script() -> None:
    nines, more = "9" * 5000, "1" + "0" * 5000  # int() refuses more than 4,300 digits
    assert in_time_order([f"a{more}.png", f"a{nines}.png", f"a000{nines}b.png", "a7.png"]) == (
        "a7.png",
        f"a{nines}.png",
        f"a000{nines}b.png",
        f"a{more}.png",
    )
    two, ten = "\u0662.png", "\u0661\u0660.png"  # in Arabic digits
    mixed = [two, ten, "3.png", "0.png", "00.png"]
    assert in_time_order(mixed) == ("0.png", "00.png", two, "3.png", ten)


@pytest.mark.parametrize("damage", ["missing", "truncated", "empty", "text", "folder"])
def test_a_bad_frame_is_named_with_its_tracklet_and_a_way_on(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "0001C1T0001F001.jpg"
    Image.effect_noise((64, 128), 50).save(path)
    if damage == "missing":
        path.unlink()
    elif damage == "truncated":
        path.write_bytes(path.read_bytes()[:900])
    elif damage == "empty":
        path.write_bytes(b"")
    elif damage == "text":
        path.write_text("<html>quota exceeded</html>")
    else:
        path.unlink()
        path.mkdir()
    with pytest.raises(FrameError) as caught:
        read_frame(str(path), "0001C1T0001 (pid 1)")
    message = str(caught.value)
    assert str(path) in message
    assert "tracklet 0001C1T0001 (pid 1)" in message
    assert "data.bad_frames" in message


def special(path: Path, kind: str) -> None:
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(str(path))
    elif kind == "device":
        path.symlink_to("/dev/zero")
    else:
        path.mkdir()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names")
@pytest.mark.parametrize("kind", ["pipe", "socket", "device", "folder"])
def test_what_is_no_file_is_not_waited_for(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "1.jpg"
    special(path, kind)
    with pytest.raises(FrameError, match=f"1.jpg of tracklet someone is a {kind}, not a file"):
        read_frame(str(path), "someone")


def test_a_broken_link_is_missing(tmp_path: Path) -> None:
    path = tmp_path / "1.jpg"
    path.symlink_to("nowhere.jpg")
    with pytest.raises(FrameError, match="is missing"):
        read_frame(str(path), "someone")
    path.unlink()
    path.symlink_to("1.jpg")
    with pytest.raises(FrameError, match=r"cannot be read \(.*symbolic links"):
        read_frame(str(path), "someone")


def test_of_a_file_without_end_no_more_is_read_than_a_frame_has(tmp_path: Path) -> None:
    path = tmp_path / "1.jpg"
    with path.open("wb") as file:
        file.truncate(2**40)
    with pytest.raises(FrameError, match=r"more than any video frame \(268,435,456\)"):
        read_frame(str(path), "someone")


@pytest.mark.parametrize("name", ["a\0b.jpg", "x" * 5000 + ".jpg", "1.jpg/2.jpg"])
def test_paths_that_cannot_be(name: str, tmp_path: Path) -> None:
    (tmp_path / "1.jpg").touch()
    with pytest.raises(FrameError, match=r"cannot be read \("):
        read_frame(str(tmp_path / name), "someone")


NAMES = [
    "100%s {0} {} %d.png",
    "two\nlines\t.png",
    "\x1b[31m.png",
    "caf\udce9 1.png",
    "'\"$(x)`.png",
]


@pytest.mark.parametrize("name", NAMES)
def test_names_of_any_kind(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    Image.new("RGB", (3, 5), (7, 7, 7)).save(path)
    assert read_frame(str(path), "someone").getpixel((0, 0)) == (7, 7, 7)
    path.write_bytes(b"")
    with pytest.raises(FrameError) as caught:
        read_frame(str(path), "someone")
    assert f"{path} of tracklet someone is empty" in str(caught.value)


def test_too_many_open_files_are_not_a_bad_frame(
    tmp_path: Path,
) -> None:
    """With data.bad_frames skip, frames would be left out that are whole."""
    resource = pytest.importorskip("resource")
    path = tmp_path / "1.png"
    Image.new("RGB", (3, 5)).save(path)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
    try:
        with pytest.raises(DataError, match=r"not the frame's fault\. Raise the limit") as caught:
            read_frame(str(path), "someone")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert not isinstance(caught.value, FrameError)
