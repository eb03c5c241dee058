"""Time order is read from names of any pattern."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from nr3d.checking import Finding, Report
from nr3d.checking.order import check_order


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
    assert finding.remedy


def test_the_mend_of_the_order_is_the_callers() -> None:
    assert order_of(["2.png", "1.png"]).findings[0].remedy == "Sort them."


def test_a_name_of_any_length_in_a_list_is_no_time() -> None:
    report = order_of(["1" * 5000 + ".jpg", "2" * 5000 + ".jpg"])
    (finding,) = report.findings
    assert "named by one pattern" in finding.what
    assert len(finding.places[0]) < 300
