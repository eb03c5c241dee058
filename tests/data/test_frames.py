"""Time order and reading of frames."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from nr3d.data import in_time_order, read_frame
from nr3d.errors import FrameError


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
