"""Splits of PRID2011: made in torchreid's form, drawn by the seed, never over another file."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from nr3d.checking import check_dataset
from nr3d.data import ClipDataManager, write_prid2011_splits
from nr3d.data.datasets.half_splits import half_splits
from nr3d.data.datasets.splits import SPLIT_FILES, read_splits
from nr3d.errors import ConfigError, DataError
from nr3d.synthetic import write_prid2011

MULTI = "prid2011/prid_2011/multi_shot"


@pytest.fixture
def bare_root(prid_root: Path) -> Path:
    """PRID2011 without its splits."""
    (prid_root / SPLIT_FILES["prid2011"]).unlink()
    return prid_root


def test_missing_splits_are_made_and_load(bare_root: Path) -> None:
    path, people = write_prid2011_splits(bare_root, seed=3, min_frames=10)
    assert path == bare_root / "prid2011" / "splits_prid2011.json"
    assert people == 4
    assert check_dataset("prid2011", bare_root).of("error") == []
    splits = read_splits("prid2011", bare_root)
    assert len(splits) == 10
    data = ClipDataManager(
        root=bare_root,
        sources="prid2011",
        split_id=9,
        batch_size_train=4,
        num_instances=2,
        workers=0,
    )
    trained = {Path(paths[0]).parent.name for paths, *_ in data.train_tracklets}
    assert trained == set(splits[9]["train"])


def test_the_form_is_torchreids(bare_root: Path, footage: Path) -> None:
    published = footage.parent / "splits_prid2011.json"
    if not published.is_file():
        pytest.skip(f"no splits at {published}")
    path, _ = write_prid2011_splits(bare_root, min_frames=1)
    ours, theirs = (json.loads(p.read_text()) for p in (path, published))
    assert len(ours) == len(theirs)
    assert all(set(split) == {"train", "test"} for split in [*ours, *theirs])
    assert all(split[part] == sorted(split[part]) for split in ours for part in split)


def test_same_seed_same_file(bare_root: Path) -> None:
    def made(seed: int) -> bytes:
        path, _ = write_prid2011_splits(bare_root, seed, min_frames=1, replace=True)
        return path.read_bytes()

    first = made(5)
    assert made(5) == first
    assert made(6) != first


@pytest.mark.parametrize(("count", "train"), [(4, 2), (5, 3), (178, 89)])
def test_halves_share_nobody_and_leave_nobody_out(count: int, train: int) -> None:
    people = [f"person_{number:04d}" for number in range(1, count + 1)]
    splits = half_splits(people, seed=1)
    assert len(splits) == 10
    for split in splits:
        assert len(split["train"]) == train
        assert sorted(split["train"] + split["test"]) == people
    assert len({tuple(split["train"]) for split in splits}) > 1


def test_people_need_enough_frames_under_both_cameras(bare_root: Path) -> None:
    multi = bare_root / MULTI
    for number in range(5, 9):
        for camera in ("cam_a", "cam_b"):
            shutil.copytree(multi / camera / "person_0001", multi / camera / f"person_{number:04d}")
    (multi / "cam_b" / "person_0002" / "3.png").unlink()  # nine are left
    (multi / "cam_a" / "person_0003" / "3.png").rename(multi / "cam_a/person_0003/3.jpg")
    (multi / "cam_a" / "person_0003" / "._4.png").touch()  # neither counts for the loader
    shutil.rmtree(multi / "cam_a" / "person_0004")
    _, people = write_prid2011_splits(bare_root, min_frames=10)
    assert people == 5
    taken = read_splits("prid2011", bare_root)[0]
    assert set(taken["train"] + taken["test"]) == {
        "person_0001",
        *(f"person_{number:04d}" for number in range(5, 9)),
    }


def test_names_that_are_not_utf8_go_through(bare_root: Path) -> None:
    name = os.fsdecode(b"person_\xff")
    for camera in ("cam_a", "cam_b"):
        (bare_root / MULTI / camera / "person_0001").rename(bare_root / MULTI / camera / name)
    write_prid2011_splits(bare_root, min_frames=1)
    splits = read_splits("prid2011", bare_root)
    assert all(name in split["train"] + split["test"] for split in splits)
    assert check_dataset("prid2011", bare_root, quick=True).of("error") == []


def test_a_name_above_200_is_not_one_person(bare_root: Path, tmp_path: Path) -> None:
    multi = bare_root / MULTI
    for camera in ("cam_a", "cam_b"):
        shutil.copytree(multi / camera / "person_0001", multi / camera / "person_0200")
        shutil.copytree(multi / camera / "person_0001", multi / camera / "person_0201")
    _, people = write_prid2011_splits(bare_root, min_frames=1)
    assert people == 5
    text = (bare_root / SPLIT_FILES["prid2011"]).read_text()
    assert "person_0200" in text
    assert "person_0201" not in text


def test_a_drawn_person_of_any_number_is_one(tmp_path: Path) -> None:
    write_prid2011(tmp_path, identities=4, frames=(1, 1), seed=1)
    for camera in ("cam_a", "cam_b"):
        home = tmp_path / MULTI / camera
        (home / "person_0004").rename(home / "person_0204")
    _, people = write_prid2011_splits(tmp_path, min_frames=1, replace=True)
    assert people == 4


def test_a_file_that_is_there_is_kept(prid_root: Path) -> None:
    path = prid_root / SPLIT_FILES["prid2011"]
    before = path.read_bytes()
    with pytest.raises(DataError, match=rf"{path} is there: keep it, or .*--replace"):
        write_prid2011_splits(prid_root, min_frames=1)
    assert path.read_bytes() == before
    write_prid2011_splits(prid_root, min_frames=1, replace=True)
    assert path.read_bytes() != before


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({}, DataError, r"{base} has 0 people with 22 frames or more.*--min-frames"),
        ({"seed": -1}, ConfigError, "seed is -1, expected at least 0"),
        ({"count": 0}, ConfigError, "count is 0, expected at least 1"),
        ({"min_frames": 0}, ConfigError, "frames is 0, expected at least 1"),
    ],
)
def test_what_cannot_be_made_leaves_nothing(
    options: dict[str, int], error: type[Exception], message: str, bare_root: Path
) -> None:
    base = bare_root / "prid2011"
    with pytest.raises(error, match=message.format(base=base)):
        write_prid2011_splits(bare_root, **options)
    assert [path.name for path in base.iterdir()] == ["prid_2011"]


def test_a_missing_camera_is_named(bare_root: Path) -> None:
    shutil.rmtree(bare_root / MULTI / "cam_b")
    with pytest.raises(DataError, match=rf"There is no {bare_root}/{MULTI}/cam_b: unpack"):
        write_prid2011_splits(bare_root)
