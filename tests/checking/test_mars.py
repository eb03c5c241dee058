"""The check of MARS finds what is damaged, names the file and says the remedy."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.io import loadmat, savemat

from nr3d.checking import Finding, check_dataset
from nr3d.checking.mars import PUBLISHED
from nr3d.synthetic import write_mars

Table = np.ndarray[Any, np.dtype[np.int64]]


def edit_table(mars: Path, name: str, key: str, edit: Callable[[Table], Table | None]) -> None:
    path = mars / "info" / name
    table = loadmat(path)[key].astype(np.int64)
    changed = edit(table)
    savemat(path, {key: table if changed is None else changed})


def edit_train(mars: Path, edit: Callable[[Table], Table | None]) -> None:
    edit_table(mars, "tracks_train_info.mat", "track_train_info", edit)


def edit_test(mars: Path, edit: Callable[[Table], Table | None]) -> None:
    edit_table(mars, "tracks_test_info.mat", "track_test_info", edit)


def edit_queries(mars: Path, edit: Callable[[Table], Table | None]) -> None:
    edit_table(mars, "query_IDX.mat", "query_IDX", edit)


def edit_names(mars: Path, part: str, edit: Callable[[list[str]], list[str]]) -> None:
    path = mars / "info" / f"{part}_name.txt"
    path.write_text("\n".join(edit(path.read_text().splitlines())) + "\n")


def setting(row: int, column: int, value: int) -> Callable[[Table], None]:
    def edit(table: Table) -> None:
        table[row, column] = value

    return edit


def test_a_good_set_has_its_counts_and_no_error(own_mars_root: Path) -> None:
    report = check_dataset("mars", own_mars_root)
    assert report.counts == {
        "train people": 4,
        "train tracklets": 16,
        "train frames": 80,
        "query tracklets": 4,
        "gallery tracklets": 4,
        "test frames": 40,
    }
    assert report.decoded == 120
    (counts,) = report.findings
    assert counts.level == "warning"
    assert str(own_mars_root / "mars") in counts.what
    assert "train people: 4, published 625" in counts.places
    assert "nothing, if it is meant to be a part" in counts.remedy


def test_a_synthetic_set_is_not_warned_of(tmp_path: Path) -> None:
    write_mars(tmp_path, identities=4, seed=1)
    report = check_dataset("mars", tmp_path)
    assert [finding.level for finding in report.findings] == ["note"]
    assert report.findings[0].remedy == "Nothing: it is a synthetic one."


def test_footage(footage: Path) -> None:
    report = check_dataset("mars", footage)
    assert (report.counts["train tracklets"], report.counts["test frames"]) == (40, 251)
    assert report.decoded == 671
    assert [finding.what[:9] for finding in report.findings] == ["Counts of"]


def test_the_real_tables_have_the_published_counts(tmp_path: Path, footage: Path) -> None:
    tables = footage.parent / "mars_info"
    if not tables.is_dir():
        pytest.skip(f"no tables at {tables}")
    info = tmp_path / "mars" / "info"
    info.mkdir(parents=True)
    for part in ("train", "test"):
        (tmp_path / "mars" / f"bbox_{part}").mkdir()
        name = f"tracks_{part}_info.mat"
        shutil.copy(tables / name, info)
        lines = []
        takes: dict[tuple[int, int], int] = {}
        for first, last, pid, camera in loadmat(info / name)[f"track_{part}_info"].tolist():
            take = takes[pid, camera] = takes.get((pid, camera), 0) + 1
            who = "00-1" if pid == -1 else f"{pid:04d}"
            head = f"{who}C{camera}T{take:04d}F"
            lines += [f"{head}{number:03d}.jpg" for number in range(1, last - first + 2)]
        (info / f"{part}_name.txt").write_text("\n".join(lines) + "\n")
    shutil.copy(tables / "query_IDX.mat", info)
    report = check_dataset("mars", tmp_path, quick=True)
    assert report.counts == report.published == PUBLISHED
    errors = {finding.what: len(finding.places) for finding in report.of("error")}
    assert errors == {
        "Frames of tracklets that are not in bbox_train": 509_914,
        "Frames of tracklets that are not in bbox_test": 657_709,
    }
    assert report.of("warning") == []
    unanswered = [f for f in report.of("note") if "query_IDX.mat" in f.what]
    assert [len(finding.places) for finding in unanswered] == [140]


def remove(*names: str) -> Callable[[Path], None]:
    def damage(mars: Path) -> None:
        for name in names:
            path = mars / name
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    return damage


def cut(name: str) -> Callable[[Path], None]:
    def damage(mars: Path) -> None:
        path = mars / name
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])

    return damage


def renamed(name: str, other: str) -> Callable[[Path], None]:
    def damage(mars: Path) -> None:
        (mars / other).parent.mkdir(parents=True, exist_ok=True)
        (mars / name).rename(mars / other)

    return damage


def nested(mars: Path) -> None:
    (mars / "bbox_test").rename(mars / "inner")
    (mars / "bbox_test").mkdir()
    (mars / "inner").rename(mars / "bbox_test" / "bbox_test")


FIRST = "0001C1T0001F001.jpg"
TRAIN_ROW = "info/tracks_train_info.mat row"
TEST_ROW = "info/tracks_test_info.mat row"
INFO = "https://github.com/liangzheng06/MARS-evaluation"

DAMAGES: dict[str, tuple[Callable[[Path], object], str, str, str | None, str]] = {
    # what is done: level, words of the finding, a place, words of the remedy
    "no names list": (
        remove("info/train_name.txt"),
        *("error", "There is no {mars}/info/train_name.txt", None, f"Fetch it from {INFO}"),
    ),
    "no frames": (
        remove("bbox_test"),
        *(
            "error",
            "There is no {mars}/bbox_test",
            None,
            "Unpack bbox_test.zip of MARS into {mars}",
        ),
    ),
    "tables elsewhere": (
        renamed("info/query_IDX.mat", "MARS-evaluation-master/info/query_IDX.mat"),
        *("error", "There is no {mars}/info/query_IDX.mat", None),
        "Move {mars}/MARS-evaluation-master/info/query_IDX.mat there.",
    ),
    "another name": (
        renamed("bbox_train", "Bbox-Train"),
        *("error", "There is no {mars}/bbox_train", None, "Move {mars}/Bbox-Train there."),
    ),
    "unpacked twice": (
        nested,
        *("error", "Frames of tracklets that are not in bbox_test", "bbox_test/0002/0002C1T0001"),
        "Move what is in {mars}/bbox_test/bbox_test up into {mars}/bbox_test.",
    ),
    "half a table": (
        cut("info/tracks_test_info.mat"),
        *("error", "{mars}/info/tracks_test_info.mat cannot be read as a MATLAB file", None),
        f"Fetch it again from {INFO}",
    ),
    "text for a table": (
        lambda mars: (mars / "info/query_IDX.mat").write_text("<html>404</html>"),
        *("error", "{mars}/info/query_IDX.mat cannot be read as a MATLAB file", None),
        f"Fetch it again from {INFO}",
    ),
    "another table": (
        lambda mars: shutil.copy(mars / "info/query_IDX.mat", mars / "info/tracks_test_info.mat"),
        *("error", "tracks_test_info.mat holds query_IDX, expected track_test_info", None),
        f"Fetch it again from {INFO}",
    ),
    "three columns": (
        lambda mars: edit_train(mars, lambda table: table[:, :3]),
        *("error", "tracks_train_info.mat is int64 of shape (16, 3), expected whole", None),
        f"Fetch it again from {INFO}",
    ),
    "row outside": (
        lambda mars: edit_train(mars, setting(15, 1, 99)),
        *("error", "Rows that name frames outside of info/train_name.txt"),
        *(f"{TRAIN_ROW} 16: frames 76 to 99 of 80", "they belong together"),
    ),
    "another person": (
        lambda mars: edit_train(mars, setting(1, 2, 3)),
        *("error", "Rows whose frames in info/train_name.txt show another person"),
        *(f"{TRAIN_ROW} 2: person 0003, frames of 0001", "they belong together"),
    ),
    "another camera": (
        lambda mars: edit_test(mars, setting(0, 3, 2)),
        *("error", "Rows whose frames in info/test_name.txt show another camera"),
        *(f"{TEST_ROW} 1: camera 2, frames of 1", "they belong together"),
    ),
    "no camera": (
        lambda mars: edit_test(mars, setting(0, 3, 7)),
        *("error", "or none of 1 to 6", f"{TEST_ROW} 1: camera 7, frames of 1", "they belong"),
    ),
    "joined rows": (
        lambda mars: edit_train(mars, setting(0, 1, 10)),
        *("warning", "Rows that join several tracklets of info/train_name.txt"),
        *(f"{TRAIN_ROW} 1: T0001, T0002", "they belong together"),
    ),
    "overlapping rows": (
        lambda mars: edit_train(mars, setting(0, 1, 6)),
        *("warning", "Frames of info/train_name.txt that are in several rows"),
        *("0001C1T0002F001.jpg", "they belong together"),
    ),
    "a frame in no row": (
        lambda mars: edit_train(mars, setting(0, 0, 2)),
        *("warning", "that no row of info/tracks_train_info.mat names", FIRST, "they belong"),
    ),
    "no frame name": (
        lambda mars: edit_names(mars, "train", lambda names: ["0001_c1_f1.jpg", *names[1:]]),
        *("error", "Lines of info/train_name.txt that are no frame names of MARS"),
        *("info/train_name.txt line 1: '0001_c1_f1.jpg'", f"again from {INFO}"),
    ),
    "listed twice": (
        lambda mars: edit_names(mars, "train", lambda names: [names[1], *names[1:]]),
        *("warning", "Frames that info/train_name.txt lists more than once"),
        *("0001C1T0001F002.jpg", f"again from {INFO}"),
    ),
    "not in time order": (
        lambda mars: edit_names(mars, "test", lambda names: [names[1], names[0], *names[2:]]),
        *("warning", "not in time order in info/test_name.txt"),
        f"{TEST_ROW} 1: 0002C1T0001F001.jpg comes after 0002C1T0001F002.jpg",
        "nr3d sorts a tracklet's frames by name",
    ),
    "a frame gone": (
        remove(f"bbox_train/0001/{FIRST}"),
        *("error", "Frames of tracklets that are not in bbox_train", f"bbox_train/0001/{FIRST}"),
        "Unpack bbox_train.zip of MARS into {mars} again",
    ),
    "a frame of no tracklet gone": (
        lambda mars: (edit_test(mars, setting(0, 2, -1)), remove("bbox_test/0002")(mars)),
        *("note", "Frames that no tracklet uses", "bbox_test/0002/0002C1T0001F001.jpg"),
        "Nothing: the loader does not ask for them.",
    ),
    "a file too many": (
        lambda mars: shutil.copy(
            mars / "bbox_train/0001" / FIRST, mars / "bbox_train/0001/0001C1T0009F001.jpg"
        ),
        *("warning", "Files in bbox_train that info/train_name.txt does not list"),
        *("bbox_train/0001/0001C1T0009F001.jpg", "Nothing, if they are yours"),
    ),
    "unreadable": (
        cut(f"bbox_train/0001/{FIRST}"),
        *("error", "Frames that cannot be read", f"bbox_train/0001/{FIRST}"),
        "data.bad_frames skip",
    ),
    "a person in both": (
        lambda mars: edit_test(mars, setting(2, 2, 3)),
        *("error", "People in both info/tracks_train_info.mat and info/tracks_test_info.mat"),
        *("person 0003", "take these people out of one"),
    ),
    "query outside": (
        lambda mars: edit_queries(mars, setting(0, 0, 9)),
        *("error", "Queries of info/query_IDX.mat outside of the 8 rows", "query 9"),
        f"again from {INFO}",
    ),
    "query twice": (
        lambda mars: edit_queries(mars, setting(0, 1, 1)),
        *("warning", "Queries that info/query_IDX.mat names more than once", f"{TEST_ROW} 1"),
        f"again from {INFO}",
    ),
    "one query": (
        lambda mars: edit_queries(mars, lambda table: table[:, :1]),
        *("error", "info/query_IDX.mat names 1 query, expected at least 2", None, f"from {INFO}"),
    ),
    "junk asks": (
        lambda mars: edit_test(mars, setting(0, 2, 0)),
        *("warning", "Queries of info/query_IDX.mat that are junk or a distractor"),
        *(f"{TEST_ROW} 1", f"again from {INFO}"),
    ),
    "a query without answer": (
        lambda mars: edit_test(mars, setting(3, 2, -1)),  # person 2's other gallery tracklet
        *("note", "Queries of info/query_IDX.mat whose person is not in the gallery under another"),
        *(f"{TEST_ROW} 1: person 0002, camera 1", "Nothing: figures are of the other queries."),
    ),
    "no query with an answer": (
        lambda mars: edit_test(mars, lambda table: np.where([0, 0, 0, 1], 1, table)),
        *("error", "None of the 4 queries of info/query_IDX.mat", None, f"again from {INFO}"),
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damage_is_found_and_named_with_its_mend(
    damage: str, own_mars_root: Path, only: Callable[..., Finding]
) -> None:
    mars = own_mars_root / "mars"
    do, level, what, place, remedy = DAMAGES[damage]
    whole = check_dataset("mars", own_mars_root)
    assert not any(what.format(mars=mars) in finding.what for finding in whole.findings)
    do(mars)
    report = check_dataset("mars", own_mars_root)
    finding = only(report, level, what.format(mars=mars))
    assert remedy.format(mars=mars) in finding.remedy
    if place is None:
        assert finding.places == ()
    else:
        assert any(found.startswith(place) for found in finding.places), finding.places


def test_findings_of_a_frame_name_that_frame_only(
    own_mars_root: Path, only: Callable[..., Finding]
) -> None:
    mars = own_mars_root / "mars"
    remove(f"bbox_train/0001/{FIRST}")(mars)
    cut("bbox_test/0004/0004C2T0002F005.jpg")(mars)
    report = check_dataset("mars", own_mars_root)
    gone = only(report, "error", "Frames of tracklets that are not in")
    assert gone.places == (f"bbox_train/0001/{FIRST}",)
    unreadable = only(report, "error", "Frames that cannot be read")
    assert unreadable.places == ("bbox_test/0004/0004C2T0002F005.jpg",)
    assert report.decoded == 119


def test_quick_decodes_nothing_and_says_so(
    own_mars_root: Path, only: Callable[..., Finding]
) -> None:
    cut(f"bbox_train/0001/{FIRST}")(own_mars_root / "mars")
    report = check_dataset("mars", own_mars_root, quick=True)
    assert report.of("error") == []
    assert report.decoded == 0
    assert "Leave --quick out" in only(report, "note", "120 frames were not decoded").remedy


@pytest.mark.parametrize(
    ("root", "remedy"),
    [
        ("data/mars", "give --root {base}/data."),
        ("data", "Rename {base}/data/MARS to mars."),
        ("other", "Make {base}/other/mars and move bbox_test, bbox_train, info from {base}/other"),
        ("empty", "or give by --root the folder that holds mars"),
    ],
)
def test_a_set_that_is_not_in_its_place(
    root: str, remedy: str, own_mars_root: Path, only: Callable[..., Finding]
) -> None:
    base = own_mars_root.parent
    (base / "empty").mkdir()
    if root == "data":
        (own_mars_root / "mars").rename(own_mars_root / "MARS")
    elif root == "other":
        (own_mars_root / "mars").rename(base / "other")
    report = check_dataset("mars", base / root)
    finding = only(report, "error", f"There is no folder {base / root}/mars")
    assert remedy.format(base=base) in finding.remedy
    assert report.findings == [finding]
