"""The check of PRID2011 finds what is damaged, names the file and says the remedy."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from nr3d.checking import Finding, check_dataset
from nr3d.checking.prid2011 import PUBLISHED
from nr3d.data import ClipDataManager
from nr3d.synthetic import write_prid2011

SPLITS = "splits_prid2011.json"
MULTI = "prid_2011/multi_shot"
COMMAND = "nr3d data splits prid2011 --root {root} --seed 0"


def edit_splits(base: Path, edit: Callable[[list[Any]], Any]) -> None:
    path = base / SPLITS
    splits = json.loads(path.read_text())
    changed = edit(splits)
    path.write_text(json.dumps(splits if changed is None else changed))


def add_person(base: Path, name: str) -> None:
    for camera in ("cam_a", "cam_b"):
        shutil.copytree(base / MULTI / camera / "person_0001", base / MULTI / camera / name)


def test_a_good_set_has_its_counts_and_no_error(prid_root: Path) -> None:
    report = check_dataset("prid2011", prid_root)
    assert report.counts == {
        "people under cam_a": 4,
        "people under cam_b": 4,
        "people under both": 4,
        "splits": 1,
        "train people a split": 2,
        "test people a split": 2,
    }
    assert report.decoded == 80
    assert [finding.level for finding in report.findings] == ["note", "warning"]
    short, counts = report.findings
    assert "fewer frames than the published protocol asks for (22" in short.what
    assert short.places[0] == f"{MULTI}/cam_a/person_0001: 10"
    assert "splits: 1, published 10" in counts.places


def test_a_synthetic_set_is_right_with_any_number_of_people(tmp_path: Path) -> None:
    write_prid2011(tmp_path, identities=4, frames=(1, 1), seed=1)
    base = tmp_path / "prid2011"
    add_person(base, "person_0201")
    edit_splits(base, lambda splits: [s["train"].append("person_0201") for s in splits] and None)
    report = check_dataset("prid2011", tmp_path)
    assert [finding.level for finding in report.findings] == ["note"]


def test_the_published_counts_are_those_of_the_published_splits(footage: Path) -> None:
    path = footage.parent / SPLITS
    if not path.is_file():
        pytest.skip(f"no splits at {path}")
    splits = json.loads(path.read_text())
    assert len(splits) == PUBLISHED["splits"]
    for split in splits:
        assert len(split["train"]) == PUBLISHED["train people a split"]
        assert len(split["test"]) == PUBLISHED["test people a split"]
        assert max(split["train"] + split["test"]) <= "person_0200"


DAMAGES: dict[str, tuple[Callable[[Path], object], str, str, str | None, str]] = {
    # what is done: level, words of the finding, a place, words of the remedy
    "no splits": (
        lambda base: (base / SPLITS).unlink(),
        *("error", f"There is no {{base}}/{SPLITS}", None, f"Make it: {COMMAND}"),
    ),
    "splits elsewhere": (
        lambda base: (base / SPLITS).rename(base / "prid_2011" / SPLITS),
        *("error", f"There is no {{base}}/{SPLITS}", None),
        f"Move {{base}}/prid_2011/{SPLITS} there.",
    ),
    "half of the splits": (
        lambda base: (base / SPLITS).write_text((base / SPLITS).read_text()[:40]),
        *("error", f"{{base}}/{SPLITS} cannot be read as JSON", None, f"{COMMAND} --replace"),
    ),
    "no list of splits": (
        lambda base: edit_splits(base, lambda splits: splits[0]),
        *("error", f"{{base}}/{SPLITS} does not hold a list of splits", None),
        f"{COMMAND} --replace",
    ),
    "someone in both halves": (
        lambda base: edit_splits(base, lambda splits: splits[0]["test"].append("person_0003")),
        *("error", f"People who both train and test in {SPLITS}", "split 0: person_0003"),
        f"{COMMAND} --replace",
    ),
    "someone twice": (
        lambda base: edit_splits(base, lambda splits: splits[0]["test"].append("person_0002")),
        *("error", f"twice in a half of a split in {SPLITS}", "split 0: person_0002 (test)"),
        f"{COMMAND} --replace",
    ),
    "a split of another size": (
        lambda base: edit_splits(
            base, lambda splits: [*splits, *splits, {**splits[0], "train": ["person_0001"]}]
        ),
        *("warning", f"Splits of other sizes than the others in {SPLITS}"),
        *("split 2: 1 people to train and 2 to test, others 2 and 2", f"{COMMAND} --replace"),
    ),
    "another person's name under either camera": (
        lambda base: (
            add_person(base, "person_0201"),
            edit_splits(base, lambda splits: splits[0]["train"].append("person_0201")),
        ),
        *("error", f"People of {SPLITS} above number 200", "person_0201", f"{COMMAND} --replace"),
    ),
    "no camera": (
        lambda base: shutil.rmtree(base / MULTI / "cam_b"),
        *("error", f"There is no {{base}}/{MULTI}/cam_b", None),
        "Unpack multi_shot of PRID2011 into {base}/prid_2011",
    ),
    "unpacked a level off": (
        lambda base: (base / "prid_2011" / "multi_shot").rename(base / "multi_shot"),
        *("error", f"There is no {{base}}/{MULTI}/cam_a", None),
        "Move {base}/multi_shot/cam_a there.",
    ),
    "no folder of someone": (
        lambda base: shutil.rmtree(base / MULTI / "cam_b" / "person_0003"),
        *("error", f"People of {SPLITS} without a folder", f"{MULTI}/cam_b/person_0003"),
        "Unpack multi_shot of PRID2011",
    ),
    "an empty folder": (
        lambda base: [p.unlink() for p in (base / MULTI / "cam_a/person_0004").iterdir()],
        *("error", f"Folders of people of {SPLITS} without a .png", f"{MULTI}/cam_a/person_0004"),
        "Unpack multi_shot of PRID2011",
    ),
    "frames that the loader does not see": (
        lambda base: (base / MULTI / "cam_a/person_0001/5.png").rename(
            base / MULTI / "cam_a/person_0001/5.JPG"
        ),
        *("warning", "Images that the loader does not see", f"{MULTI}/cam_a/person_0001/5.JPG"),
        "Convert them to PNG",
    ),
    "a number twice": (
        lambda base: shutil.copy(
            base / MULTI / "cam_a/person_0001/5.png", base / MULTI / "cam_a/person_0001/05.png"
        ),
        *("warning", "not in time order in the order of their names"),
        *(f"{MULTI}/cam_a/person_0001: 5.png comes after 05.png", "a number of its own"),
    ),
    "a gap": (
        lambda base: (base / MULTI / "cam_a/person_0001/5.png").unlink(),
        *("note", "Tracklets with gaps in time"),
        *(f"{MULTI}/cam_a/person_0001: from 4.png to 6.png", "restore the frames between"),
    ),
    "unreadable": (
        lambda base: (base / MULTI / "cam_b/person_0002/10.png").write_bytes(b"\x89PNG"),
        *("error", "Frames that cannot be read", f"{MULTI}/cam_b/person_0002/10.png"),
        "Unpack these files again",
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damage_is_found_and_named_with_its_mend(
    damage: str, prid_root: Path, only: Callable[..., Finding]
) -> None:
    base = prid_root / "prid2011"
    places = {"root": prid_root, "base": base}
    do, level, what, place, remedy = DAMAGES[damage]
    what, remedy = what.format(**places), remedy.format(**places)
    whole = check_dataset("prid2011", prid_root)
    assert not any(what in finding.what for finding in whole.findings)
    do(base)
    finding = only(check_dataset("prid2011", prid_root), level, what)
    assert remedy in finding.remedy
    assert finding.places == (() if place is None else (place,))


def test_frames_of_people_in_no_split_are_not_asked_for(prid_root: Path) -> None:
    base = prid_root / "prid2011"
    add_person(base, "person_0300")
    (base / MULTI / "cam_a" / "person_0300" / "1.png").write_text("no image")
    (base / MULTI / "cam_a" / "person_0300" / "._1.png").write_text("a Mac's")
    report = check_dataset("prid2011", prid_root)
    assert report.of("error") == []
    assert (report.counts["people under cam_a"], report.counts["people under both"]) == (5, 4)
    assert report.decoded == 80


def test_what_the_check_lets_pass_loads(prid_root: Path) -> None:
    Image.new("RGB", (4, 4)).save(prid_root / "prid2011" / MULTI / "cam_a/person_0001/11.jpg")
    assert check_dataset("prid2011", prid_root).of("error") == []
    ClipDataManager(
        root=prid_root, sources="prid2011", batch_size_train=4, num_instances=2, workers=0
    )
