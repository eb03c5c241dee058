"""The check of a converted dataset finds what is damaged, names the file and says the remedy."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nr3d.checking import Finding, check_dataset
from nr3d.data import convert
from nr3d.data.converted.index import INDEX
from nr3d.errors import ConfigError, DataError

Entries = list[dict[str, Any]]


@pytest.fixture
def converted(shop: Path) -> Path:
    convert(shop)
    return shop


def edit(folder: Path, change: Callable[[Entries], Entries | None]) -> None:
    path = folder / INDEX
    content = json.loads(path.read_text())
    content["tracklets"] = change(content["tracklets"]) or content["tracklets"]
    path.write_text(json.dumps(content))


def first(entries: Entries, split: str) -> dict[str, Any]:
    return next(entry for entry in entries if entry["split"] == split)


def test_a_good_set_has_its_counts_and_no_finding(converted: Path) -> None:
    report = check_dataset("shop", converted.parent)
    assert report.findings == []
    assert report.counts == {
        "train identities": 5,
        "test identities": 5,
        "cameras": 2,
        "train tracklets": 17,
        "query tracklets": 8,
        "gallery tracklets": 9,
        "frames": 102,
    }
    assert report.decoded == 102
    assert report.published == {}


AGAIN = "Make it: nr3d data convert {folder} --replace"
TAKE = "p1/door/take1"

DAMAGES: dict[str, tuple[Callable[[Path], object], str, str, str | None, str]] = {
    # what is done: level, words of the finding, a place, words of the remedy
    "no index": (
        lambda folder: (folder / INDEX).unlink(),
        *("error", f"There is no {{folder}}/{INDEX}", None),
        "Make it: nr3d data convert {folder}",
    ),
    "half an index": (
        lambda folder: (folder / INDEX).write_text((folder / INDEX).read_text()[:500]),
        *("error", f"{{folder}}/{INDEX} cannot be read as JSON", None, AGAIN),
    ),
    "someone trains and tests": (
        lambda folder: edit(
            folder, lambda entries: first(entries, "query").update(split="train") or entries
        ),
        *("error", f"Identities that both train and test in {INDEX}", "p", AGAIN),
    ),
    "a tracklet twice": (
        lambda folder: edit(
            folder, lambda entries: [*entries, {**first(entries, "query"), "split": "gallery"}]
        ),
        *("error", f"Tracklets that {INDEX} has more than once", "p", AGAIN),
    ),
    "a query without answer": (
        lambda folder: edit(
            folder,
            lambda entries: [
                entry
                for entry in entries
                if entry["split"] != "gallery"
                or (entry["identity"], entry["camera"])
                != (first(entries, "query")["identity"], "till")
            ],
        ),
        *("note", f"Queries of {INDEX} whose person is not in the gallery under another camera"),
        *("p", "Nothing: figures are of the other queries."),
    ),
    "no query with an answer": (
        lambda folder: edit(
            folder, lambda entries: [entry for entry in entries if entry["camera"] == "door"]
        ),
        *("error", f"None of the 4 queries of {INDEX} has its person in the gallery", None, AGAIN),
    ),
    "not in time order": (
        lambda folder: edit(
            folder, lambda entries: [{**e, "frames": e["frames"][::-1]} for e in entries]
        ),
        *("warning", f"not in time order in {INDEX}", f"{TAKE}: 10.jpg comes after 11.jpg", AGAIN),
    ),
    "a frame gone": (
        lambda folder: (folder / TAKE / "10.jpg").unlink(),
        *("error", f"Frames of {INDEX} that are not on disk", f"{TAKE}/10.jpg"),
        "Restore them, or go on without: nr3d data convert {folder} --replace",
    ),
    "someone gone": (
        lambda folder: shutil.rmtree(folder / "p1"),
        *("error", f"Frames of {INDEX} that are not on disk", f"{TAKE}/9.jpg"),
        "Restore them, or go on without",
    ),
    "a frame too many": (
        lambda folder: shutil.copy(folder / TAKE / "9.jpg", folder / TAKE / "12.jpg"),
        *("warning", f"Frames on disk that {INDEX} does not name", f"{TAKE}/12.jpg", AGAIN),
    ),
    "someone too many": (
        lambda folder: shutil.copytree(folder / "p1", folder / "p9"),
        *("warning", f"Frames on disk that {INDEX} does not name", "p9/door/take1/10.jpg", AGAIN),
    ),
    "a frame out of its place": (
        lambda folder: shutil.copy(folder / TAKE / "9.jpg", folder / "p1" / "door" / "9.jpg"),
        *("warning", "There are frames in the place of a folder, expected {folder}/identity/"),
        *("p1/door/9.jpg", "Put the frames of each tracklet into a folder of their own"),
    ),
    "unreadable": (
        lambda folder: (folder / TAKE / "9.jpg").write_bytes(b"\xff\xd8\xff"),
        *("error", "Frames that cannot be read", f"{TAKE}/9.jpg", "data.bad_frames skip"),
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damage_is_found_and_named_with_its_mend(
    damage: str, converted: Path, only: Callable[..., Finding]
) -> None:
    do, level, what, place, remedy = DAMAGES[damage]
    do(converted)
    report = check_dataset("shop", converted.parent)
    finding = only(report, level, what.format(folder=converted))
    assert remedy.format(folder=converted) in finding.remedy
    if place is None:
        assert finding.places == ()
    else:
        assert any(found.startswith(place) for found in finding.places), finding.places


def test_a_tree_that_was_not_converted_is_told_its_shape_too(
    shop: Path, only: Callable[..., Finding]
) -> None:
    (shop / "p1" / "roof").mkdir()
    report = check_dataset("shop", shop.parent)
    assert [finding.level for finding in report.findings] == ["warning", "error"]
    assert only(report, "warning", "cameras without a tracklet").places == ("p1/roof",)


@pytest.mark.parametrize("name", ["shops", "", ".", "..", "shop/p1", "dukemtmcvidreid"])
def test_a_dataset_without_a_check_says_which_there_are(name: str, shop: Path) -> None:
    with pytest.raises(ConfigError, match=rf"no check for dataset '{name}'.* mars, prid2011, ilid"):
        check_dataset(name, shop.parent)


def test_a_root_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=rf"There is no folder {tmp_path}/gone: give the folder"):
        check_dataset("mars", tmp_path / "gone")
