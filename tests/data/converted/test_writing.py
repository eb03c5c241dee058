"""Plain trees become datasets of torchreid's, where they lie; bad ones are refused by name."""

from __future__ import annotations

import dataclasses
import json
import os
import pickle
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import nr3d
from nr3d.checking import check_dataset
from nr3d.cli import main
from nr3d.cli.data import describe
from nr3d.data import ClipDataManager, convert, register_converted
from nr3d.data.converted.dataset import ConvertedDataset
from nr3d.data.converted.index import INDEX, read_index
from nr3d.data.converted.writing import Conversion
from nr3d.errors import ConfigError, DataError, RegistrationError
from nr3d.host import torchreid
from nr3d.registry import registered_video_datasets

WriteTree = Callable[..., Path]


def entries(folder: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((folder / INDEX).read_text())["tracklets"]
    return found


def places(folder: Path, split: str) -> set[tuple[str, str, str]]:
    return {
        (entry["identity"], entry["camera"], entry["tracklet"])
        for entry in entries(folder)
        if entry["split"] == split
    }


def test_an_index_is_written_and_nothing_else_changes(shop: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in shop.rglob("*") if path.is_file()}
    made = convert(shop)
    after = {path: path.stat().st_mtime_ns for path in shop.rglob("*") if path.is_file()}
    assert after.keys() - before.keys() == {shop / INDEX}
    assert {path: after[path] for path in before} == before
    assert made == Conversion(
        index=shop / INDEX,
        name="shop",
        train_identities=5,
        test_identities=5,
        distractors=1,
        cameras=2,
        train_tracklets=17,
        query=8,
        gallery=9,
        frames=3 * 34,
    )


def test_every_tracklet_is_in_one_split_with_its_frames_in_time_order(shop: Path) -> None:
    convert(shop)
    listed = [(e["identity"], e["camera"], e["tracklet"]) for e in entries(shop)]
    on_disk = {path.parent.relative_to(shop).parts for path in shop.glob("*/*/*/9.jpg")}
    assert len(listed) == len(set(listed)) == 34
    assert set(listed) == on_disk
    assert all(entry["frames"] == ["9.jpg", "10.jpg", "11.jpg"] for entry in entries(shop))


def test_identities_are_halved_those_under_one_camera_too(shop: Path) -> None:
    convert(shop)
    training = {place[0] for place in places(shop, "train")}
    testing = {place[0] for split in ("query", "gallery") for place in places(shop, split)}
    assert len(training) == len(testing) == 5
    assert not training & testing
    assert len(training & {"once1", "once2"}) == 1
    assert {place[0] for place in places(shop, "query")} == testing - {"once1", "once2"}


def test_same_tree_and_seed_same_index(shop: Path) -> None:
    def made(seed: int) -> bytes:
        convert(shop, seed, replace=True)
        return (shop / INDEX).read_bytes().replace(f'"seed": {seed}'.encode(), b"")

    first = made(3)
    assert made(3) == first
    assert len({made(seed) for seed in range(3)}) > 1


@pytest.mark.parametrize(
    ("share", "train"), [(0.5, 5), (0.01, 2), (0.24, 2), (0.25, 3), (0.7, 7), (0.99, 9)]
)
def test_the_share_that_trains(share: float, train: int, shop: Path) -> None:
    assert convert(shop, train_share=share).train_identities == train
    assert places(shop, "query")


CAMERAS: list[tuple[dict[str, int], int]] = [
    # tracklets by camera, and how many queries that allows
    ({"a": 2, "b": 2}, 2),
    ({"a": 5, "b": 3, "c": 2}, 3),
    ({"a": 1, "b": 1}, 1),
    ({"a": 1, "b": 1, "c": 1}, 2),
    ({"a": 2, "b": 1}, 1),
    ({"a": 1, "b": 3, "c": 1}, 2),
    ({"a": 2, "b": 2, "c": 1}, 3),
    ({"a": 3}, 0),
    ({"b": 1}, 0),
]


@pytest.mark.parametrize(("cameras", "queries"), CAMERAS)
@pytest.mark.parametrize("seed", [0, 1])
def test_every_query_has_an_answer_under_another_camera(
    cameras: dict[str, int], queries: int, seed: int, tmp_path: Path, plain_tree: WriteTree
) -> None:
    people = {f"p{number}": cameras for number in range(4)} | {"q1": {"a": 1, "b": 1}}
    people |= {"q2": {"a": 1, "b": 1}}
    folder = plain_tree(tmp_path / "tree", people, frames=1)
    convert(folder, seed)
    asked = places(folder, "query")
    gallery = places(folder, "gallery")
    for person in {place[0] for place in gallery | asked}:
        mine = [place for place in asked if place[0] == person]
        assert len(mine) == (1 if person.startswith("q") else queries)
        assert len({camera for _, camera, _ in mine}) == len(mine)
        for _, camera, _ in mine:
            assert any(place[0] == person and place[1] != camera for place in gallery)


def test_the_one_person_under_two_cameras_tests(tmp_path: Path, plain_tree: WriteTree) -> None:
    people = {f"p{number}": {"a": 1} for number in range(5)}
    folder = plain_tree(tmp_path / "tree", people | {"z": {"a": 1, "b": 1}}, frames=1)
    for seed in range(4):
        convert(folder, seed, replace=True)
        assert {place[0] for place in places(folder, "query")} == {"z"}


def test_litter_of_systems_is_neither_a_person_nor_a_frame(
    shop: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clean = convert(shop)
    index = (shop / INDEX).read_bytes()
    litter = []
    for place in ("", "p1/", "p1/door/", "p1/door/take1/"):
        for name in ("__MACOSX", "@eaDir", ".ipynb_checkpoints", "$RECYCLE.BIN", "lost+found"):
            frame = shop / place / name / "door/take1/1.jpg"
            frame.parent.mkdir(parents=True)
            frame.touch()
            litter.append(place + name)
        for name in (".DS_Store", "Thumbs.db", "desktop.ini", "._9.jpg", "Icon\r"):
            (shop / place / name).touch()
            litter.append(place + name)
    made = convert(shop, replace=True)
    assert (shop / INDEX).read_bytes() == index
    assert sorted(made.skipped) == sorted(litter)
    assert dataclasses.replace(made, skipped=()) == clean
    (finding,) = check_dataset("shop", shop.parent).findings
    assert (finding.level, sorted(finding.places)) == ("note", sorted(litter))
    assert main(["data", "convert", str(shop), "--replace"]) == 0
    said = [line for line in capsys.readouterr().out.splitlines() if "left out" in line]
    assert said == [
        "40 files and folders are not frames and were left out: $RECYCLE.BIN, .DS_Store, ._9.jpg, "
        ".ipynb_checkpoints, @eaDir, Icon and 34 more."
    ]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names")
@pytest.mark.parametrize("kind", ["pipe", "broken link", "link to itself"])
@pytest.mark.parametrize("place", ["p1/door/take1/12.jpg", "p1/door/take9/1.jpg"])
def test_a_frame_that_is_no_file_is_refused(kind: str, place: str, shop: Path) -> None:
    path = shop / place
    path.parent.mkdir(exist_ok=True)
    if kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to("nowhere.jpg" if kind == "broken link" else path.name)
    with pytest.raises(DataError, match=f"no files, but pipes, devices or broken links: {path}, "):
        convert(shop)


def test_frames_may_be_links(shop: Path) -> None:
    whole = shop / "p1/door/take1/9.jpg"
    (shop / "p1/door/take1/12.jpg").symlink_to(whole)
    (shop / "p1/door/take7").symlink_to(shop / "p2/door/take1")
    assert convert(shop).frames == 34 * 3 + 1 + 3


LATIN = os.fsdecode(b"caf\xe9")


@pytest.mark.skipif(sys.platform != "linux", reason="names of any bytes")
def test_names_that_are_no_unicode_go_all_the_way(tmp_path: Path, plain_tree: WriteTree) -> None:
    home = tmp_path / f"shop {LATIN}"
    people = {f"{LATIN} {number} %s {{}}": {LATIN: 2, "till": 2} for number in range(6)}
    plain_tree(home, people)
    for frame in home.glob("*/*/*/9.jpg"):
        frame.rename(frame.with_name(f"9 {LATIN}.jpg"))
    made = convert(home)
    assert made.name == f"shop {LATIN}"
    read = read_index(home)
    paths = {path for split in read.parts(home) for paths, _, _ in split for path in paths}
    assert paths == {str(path) for path in home.glob("*/*/*/*.jpg")}
    report = check_dataset(made.name, tmp_path)
    assert {finding.level for finding in report.findings} <= {"warning"}, report.findings
    json.dumps(report.to_mapping())
    assert f"shop {LATIN}" in describe(report)
    packed = nr3d.data.pack(tmp_path, made.name, tmp_path / f"{LATIN}.h5")
    options: dict[str, Any] = {
        "sources": made.name, "height": 16, "width": 8, "batch_size_train": 4,
        "num_instances": 2, "workers": 0,
    }  # fmt: skip
    plain = ClipDataManager(root=tmp_path, **options)
    from_pack = ClipDataManager(root="/nowhere", pack=packed.file, **options)
    for one, other in zip(plain.train_loader, from_pack.train_loader, strict=True):
        assert torch.equal(one["img"], other["img"])


def test_hidden_and_other_files_do_not_count(shop: Path) -> None:
    home = shop / "p1" / "door" / "take1"
    for path in (shop / ".git/x/y/z.jpg", home / "._9.jpg", home / "boxes.txt", shop / "notes.md"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (home / "12.PNG").touch()
    made = convert(shop)
    assert made.skipped == (".git", "notes.md", "p1/door/take1/._9.jpg", "p1/door/take1/boxes.txt")
    assert convert(shop, replace=True).skipped == made.skipped, "the index is no stranger"
    (entry,) = (
        e
        for e in entries(shop)
        if (e["identity"], e["camera"]) == ("p1", "door") and e["tracklet"] == "take1"
    )
    assert entry["frames"] == ["9.jpg", "10.jpg", "11.jpg", "12.PNG"]
    assert {e["identity"] for e in entries(shop)} == {path.name for path in shop.glob("[po]*")}


def test_names_of_any_letters_survive(tmp_path: Path, plain_tree: WriteTree) -> None:
    people = {name: {"Süd 1": 1, "a'b": 1} for name in ("Zoë", 'q"uote', "two words", "p,[4]")}
    folder = plain_tree(tmp_path / "mein Laden", people, frames=1)
    convert(folder)
    assert {entry["identity"] for entry in entries(folder)} == set(people)
    data = ClipDataManager(
        root=tmp_path, sources="mein Laden", batch_size_train=2, num_instances=1, workers=0
    )
    assert all(Path(path).is_file() for paths, *_ in data.train_tracklets for path in paths)


def damaged(damage: str, shop: Path, write: WriteTree) -> Path:
    door = shop / "p1" / "door"
    if damage == "nothing":
        return shop.parent / "gone"
    if damage == "empty":
        (shop.parent / "empty").mkdir()
        return shop.parent / "empty"
    if damage == "file":
        (shop.parent / "file").touch()
        return shop.parent / "file"
    if damage == "frames in DIR":
        shutil.copy(door / "take1" / "9.jpg", shop / "9.jpg")
    elif damage == "no tracklet folders":
        for frame in (door / "take1").iterdir():
            frame.rename(door / frame.name)
        (door / "take1").rmdir()
    elif damage == "one level too deep":
        return shop.parent
    elif damage == "one level too high":
        return shop / "p1"
    elif damage == "identity without a camera":
        shutil.rmtree(shop / "p1")
        (shop / "p1").mkdir()
    elif damage == "camera without a tracklet":
        shutil.rmtree(door)
        door.mkdir()
        (door / "video.mp4").touch()
    elif damage == "empty tracklet":
        for name in ("take1", "take2"):
            shutil.rmtree(door / name)
            (door / name).mkdir()
        (door / "take1" / "Thumbs.db").touch()
    elif damage == "single identity":
        return write(shop.parent / "one", {"anna": {"a": 2, "b": 2}}, frames=1)
    elif damage == "two identities":
        return write(shop.parent / "two", {"anna": {"a": 2}, "ben": {"b": 2}}, frames=1)
    elif damage == "one camera each":
        people = {name: {f"{name}'s": 2} for name in ("anna", "ben", "cleo", "dan")}
        return write(shop.parent / "apart", people, frames=1)
    return shop


BAD = {
    "nothing": "There is no folder {base}/gone: give the folder of a tree identity/camera/",
    "file": "There is no folder {base}/file: give the folder of a tree",
    "empty": "{base}/empty holds no folder, expected the folders of at least 3 identities",
    "frames in DIR": "frames in the place of a folder: {shop}/9.jpg, expected {shop}/identity/"
    "camera/tracklet/frame. Put the frames of each tracklet into a folder of their own",
    "no tracklet folders": "frames in the place of a folder: {shop}/p1/door/10.jpg and 2 more,",
    "one level too high": "frames in the place of a folder: {shop}/p1/door/take1/10.jpg and 11",
    "one level too deep": "folders in the place of a frame: {shop}/once1/door/take1 and 33 more, "
    "expected {base}/identity/camera/tracklet/frame. Give the folder that holds the identities'",
    "identity without a camera": "identities without a camera: {shop}/p1, expected {shop}/identity/"
    "camera/tracklet/frame. Remove it, or put its cameras there.",
    "camera without a tracklet": "cameras without a tracklet: {shop}/p1/door, expected",
    "empty tracklet": "tracklets without a frame: {shop}/p1/door/take1 and 1 more, expected",
    "single identity": "{base}/one holds only anna, expected the folders of at least 3 identities",
    "two identities": "{base}/two holds only anna, ben, expected the folders of at least 3 identit",
    "one camera each": "No identity of {base}/apart is under two cameras, such as anna under "
    "anna's only: a test looks for a person under another camera. Give a camera's folder the same",
}


@pytest.mark.parametrize("damage", BAD)
def test_a_bad_tree_is_refused_by_path_with_the_mend(
    damage: str, shop: Path, plain_tree: WriteTree
) -> None:
    folder = damaged(damage, shop, plain_tree)
    with pytest.raises(DataError) as caught:
        convert(folder)
    assert BAD[damage].format(shop=shop, base=shop.parent) in str(caught.value)
    assert not (folder / INDEX).exists()
    assert folder.name not in registered_video_datasets()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"train_share": 0.0}, "train_share is 0.0, expected a number between 0 and 1"),
        ({"train_share": 1.0}, "train_share is 1.0"),
        ({"train_share": float("nan")}, "train_share is nan"),
        ({"seed": -1}, "seed is -1, expected at least 0"),
    ],
)
def test_a_bad_option_says_what_was_expected(
    options: dict[str, Any], message: str, shop: Path
) -> None:
    with pytest.raises(ConfigError, match=message):
        convert(shop, **options)
    assert not (shop / INDEX).exists()


def test_an_index_is_kept_unless_it_shall_be_replaced(shop: Path) -> None:
    convert(shop, seed=1)
    before = (shop / INDEX).read_bytes()
    with pytest.raises(DataError, match=rf"{shop / INDEX} is there: keep it, or .*--replace"):
        convert(shop, seed=2)
    assert (shop / INDEX).read_bytes() == before
    convert(shop, seed=2, replace=True)
    assert (shop / INDEX).read_bytes() != before


def test_a_name_that_torchreid_holds_is_refused(shop: Path) -> None:
    taken = shop.with_name("mars")
    shop.rename(taken)
    with pytest.raises(DataError, match=r"already holds the name 'mars' .*: rename the folder"):
        convert(taken)
    assert not (taken / INDEX).exists()
    convert(taken.rename(shop))
    shop.rename(taken)
    with pytest.raises(DataError, match="already holds the name 'mars'"):
        register_converted(taken.parent, "mars")


def test_it_is_called_by_the_folder_that_its_user_names(
    shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = shop.with_name("link")
    link.symlink_to(shop)
    assert convert(link).name == "link"
    monkeypatch.chdir(shop / "p1")
    assert convert("..", replace=True).name == "shop"
    monkeypatch.chdir(shop)
    assert convert(".", replace=True).name == "shop"


def test_registering_is_idempotent_and_needs_an_index(shop: Path) -> None:
    with pytest.raises(DataError, match=rf"There is no {shop / INDEX}. Make it: nr3d data convert"):
        register_converted(shop.parent, "shop")
    assert "shop" not in registered_video_datasets()
    convert(shop)
    held = registered_video_datasets()["shop"]
    register_converted(shop.parent, "shop")
    register_converted(str(shop.parent), "shop")
    assert registered_video_datasets()["shop"] is held


def test_two_roots_may_hold_a_dataset_of_one_name(shop: Path, tmp_path: Path) -> None:
    other = tmp_path / "other" / "shop"
    shutil.copytree(shop, other)
    shutil.rmtree(other / "once2")
    for folder, tracklets in ((shop, 34), (other, 33)):
        convert(folder)
        dataset = ConvertedDataset("shop", folder.parent, transform=str, verbose=False)
        assert len([*dataset.train, *dataset.query, *dataset.gallery]) == tracklets


def test_labels_and_cameras_are_numbered_by_name(shop: Path) -> None:
    convert(shop)
    dataset = ConvertedDataset("shop", shop.parent, transform=str, verbose=False)
    cameras = {"door": 0, "till": 1}
    for tracklets, splits in (
        (dataset.train, ("train",)),
        ([*dataset.query, *dataset.gallery], ("query", "gallery")),
    ):
        names = sorted({place[0] for split in splits for place in places(shop, split)})
        for paths, pid, camid, dsetid in tracklets:
            person, camera, _, _ = Path(paths[0]).relative_to(shop).parts
            assert (pid, camid, dsetid) == (names.index(person), cameras[camera], 0)


def test_it_can_go_to_a_process_that_is_started_anew(shop: Path) -> None:
    convert(shop)
    dataset = ConvertedDataset("shop", shop.parent, transform=str, verbose=False)
    assert pickle.loads(pickle.dumps(dataset)).query == dataset.query


def test_our_manager_finds_it_under_its_root(shop: Path, own_datasets: dict[str, object]) -> None:
    convert(shop)
    del own_datasets["shop"]
    data = ClipDataManager(
        root=shop.parent, sources="shop", height=16, width=8, batch_size_train=8,
        num_instances=2, workers=0,
    )  # fmt: skip
    assert data.num_train_pids == 5
    query, _ = data.fetch_test_loaders("shop")
    assert len(query) == 8
    assert {len(paths) for paths, *_ in query} == {3}
    assert "shop" in registered_video_datasets()


def test_stock_torchreid_trains_on_it(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    convert(shop)
    data = torchreid.data.VideoDataManager(
        root=str(shop.parent), sources="shop", height=16, width=8, workers=0, seq_len=2
    )
    assert data.num_train_pids == 5
    batch = next(iter(data.train_loader))
    assert batch["img"].shape == (3, 2, 3, 16, 8)
    both = torchreid.data.VideoDataManager(
        root=str(shop.parent), sources="shop", height=16, width=8, workers=0, combineall=True
    )
    assert both.num_train_pids == 10


@pytest.mark.parametrize("name", ["shop", "nonsense"])
def test_a_folder_that_was_not_converted_says_how(name: str, shop: Path) -> None:
    message = (
        rf"torchreid knows no dataset 'shop'.* no {INDEX}. Make it: nr3d data convert {shop}$"
        if name == "shop"
        else "nonsense.*expected to be one of"
    )
    with pytest.raises(DataError, match=message):
        ClipDataManager(root=shop.parent, sources=name, workers=0)


INDEXES = {
    "half": ('{"format"', "cannot be read as JSON"),
    "a list": ("[]", "is list, expected {'format': 'nr3d-dataset', 'version': 1}"),
    "another version": ('{"format": "nr3d-dataset", "version": 2}', "'version': 2}, expected"),
    "no tracklets": ('{"format": "nr3d-dataset", "version": 1}', "cannot be used at tracklet 0"),
}


@pytest.mark.parametrize("damage", INDEXES)
def test_a_damaged_index_is_named_with_the_mend(damage: str, shop: Path) -> None:
    convert(shop)
    text, message = INDEXES[damage]
    (shop / INDEX).write_text(text)
    for use in (read_index, lambda folder: ClipDataManager(root=folder.parent, sources="shop")):
        with pytest.raises(DataError) as caught:
            use(shop)
        assert str(caught.value).startswith(f"{shop / INDEX} ")
        assert message in str(caught.value)
        assert f"Make it: nr3d data convert {shop} --replace" in str(caught.value)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("split", "valid"),
        ("identity", 7),
        ("camera", ""),
        ("tracklet", "../../else"),
        ("frames", []),
        ("frames", "9.jpg"),
        ("frames", ["9.jpg", None]),
    ],
)
def test_a_damaged_tracklet_is_named(key: str, value: object, shop: Path) -> None:
    convert(shop)
    content = json.loads((shop / INDEX).read_text())
    content["tracklets"][4][key] = value
    (shop / INDEX).write_text(json.dumps(content))
    with pytest.raises(DataError, match=rf"{shop / INDEX} cannot be used at tracklet 5 \("):
        read_index(shop)
    del content["tracklets"][4][key]
    (shop / INDEX).write_text(json.dumps(content))
    with pytest.raises(DataError, match=rf"tracklet 5 \(KeyError\('{key}'\)"):
        read_index(shop)


@pytest.mark.parametrize("split", ["train", "query", "gallery"])
def test_an_index_without_a_split_is_refused(split: str, shop: Path) -> None:
    convert(shop)
    content = json.loads((shop / INDEX).read_text())
    content["tracklets"] = [entry for entry in content["tracklets"] if entry["split"] != split]
    (shop / INDEX).write_text(json.dumps(content))
    with pytest.raises(DataError, match=f"has no tracklet of split {split}. Make it: nr3d data"):
        read_index(shop)


def test_a_fresh_conversion_checks_out(shop: Path) -> None:
    convert(shop)
    report = check_dataset("shop", shop.parent)
    assert report.findings == []


def test_an_unknown_torchreid_is_told(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(torchreid.data.datasets, "__video_datasets")
    with pytest.raises(RegistrationError, match=r"does not list its video datasets as 0\.2\.5"):
        convert(shop)
