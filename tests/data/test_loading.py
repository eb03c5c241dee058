"""What `data check` passes loads; what it finds, loading says in the same words."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.io import loadmat, savemat

from nr3d.checking import check_dataset
from nr3d.cli import main
from nr3d.data import convert
from nr3d.data.converted.index import INDEX
from nr3d.data.frames import in_time_order
from nr3d.data.loading import load_dataset
from nr3d.errors import ConfigError, DataError
from nr3d.host import torchreid
from nr3d.synthetic import write_prid2011

Tuples = list[tuple[tuple[str, ...], int, int, int]]


def load(name: str, root: Path, split_id: int = 0, combineall: bool = False) -> Any:
    return load_dataset(name, root, split_id, combineall)


def by_torchreid(name: str, root: Path, **options: Any) -> Any:
    return torchreid.data.datasets.init_video_dataset(
        name, root=str(root), transform=str, verbose=False, **options
    )


def in_order(tracklets: Tuples) -> Tuples:
    """torchreid lists frames in the file system's order, and with numbers of NumPy."""
    return [(in_time_order(paths), int(pid), int(camid), d) for paths, pid, camid, d in tracklets]


def relabelled(tracklets: Tuples) -> Tuples:
    """MARS's people are numbered by torchreid in the order of a set."""
    label: dict[int, int] = {}
    return [(p, label.setdefault(pid, len(label)), c, d) for p, pid, c, d in in_order(tracklets)]


def same(ours: Any, theirs: Any) -> None:
    assert relabelled(ours.train) == relabelled(theirs.train)
    assert {pid for _, pid, _, _ in ours.train} == set(range(ours.num_train_pids))
    assert ours.query == in_order(theirs.query)
    assert ours.gallery == in_order(theirs.gallery)
    assert (ours.num_train_pids, ours.num_train_cams) == (
        theirs.num_train_pids,
        theirs.num_train_cams,
    )
    assert type(ours) is type(theirs)
    assert ours.data is ours.train


@pytest.mark.parametrize("combineall", [False, True])
@pytest.mark.filterwarnings("ignore:Some query IDs")
def test_mars_is_torchreids(footage: Path, combineall: bool) -> None:
    footage = footage.resolve()
    ours = load("mars", footage, combineall=combineall)
    same(ours, by_torchreid("mars", footage, combineall=combineall))


def test_mars_is_torchreids_with_junk_distractors_and_a_query_twice(own_mars_root: Path) -> None:
    mars = own_mars_root / "mars"
    for name in ("bbox_test/00-1", "bbox_test/0000"):
        shutil.copytree(mars / "bbox_test/0002", mars / name)
    names = (mars / "info/test_name.txt").read_text().split()
    table = loadmat(mars / "info/tracks_test_info.mat")["track_test_info"].tolist()
    for person, number in (("00-1", -1), ("0000", 0)):
        table.append([len(names) + 1, len(names) + 2, number, 1])
        names += [f"{person}C1T0001F00{frame}.jpg" for frame in (1, 2)]
    (mars / "info/test_name.txt").write_text("\n".join(names))
    savemat(mars / "info/tracks_test_info.mat", {"track_test_info": np.array(table, np.int32)})
    savemat(mars / "info/query_IDX.mat", {"query_IDX": np.array([[5, 1, 5, 7]])})
    ours = load("mars", own_mars_root)
    same(ours, by_torchreid("mars", own_mars_root))
    assert (len(ours.query), len(ours.gallery)) == (4, 6)


@pytest.mark.parametrize("combineall", [False, True])
@pytest.mark.parametrize("split_id", [0, 9])
def test_prid2011_is_torchreids(tmp_path: Path, split_id: int, combineall: bool) -> None:
    write_prid2011(tmp_path, identities=4, frames=(1, 3), seed=1)
    ours = load("prid2011", tmp_path, split_id, combineall)
    same(ours, by_torchreid("prid2011", tmp_path, split_id=split_id, combineall=combineall))


def test_ilidsvid_is_torchreids_and_so_are_its_splits(
    ilids_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = ilids_root / "ilids-vid" / "splits.json"
    with monkeypatch.context() as full:
        full.setattr(os, "fsync", lambda file: (_ for _ in ()).throw(OSError("full")))
        without = load("ilidsvid", ilids_root, 7)
    assert not path.exists()
    load("ilidsvid", ilids_root, 7)
    made = path.read_text()
    path.unlink()
    theirs = by_torchreid("ilidsvid", ilids_root, split_id=7)
    assert made == path.read_text()
    same(without, theirs)
    same(load("ilidsvid", ilids_root, 7), theirs)


def test_a_converted_set_is_torchreids_and_combines_a_query_without_gallery(shop: Path) -> None:
    convert(shop)
    ours, theirs = load("shop", shop.parent), by_torchreid("shop", shop.parent)
    assert (ours.train, ours.query, ours.gallery) == (theirs.train, theirs.query, theirs.gallery)
    content = json.loads((shop / INDEX).read_text())
    asked = next(e["identity"] for e in content["tracklets"] if e["split"] == "query")
    content["tracklets"] = [
        entry
        for entry in content["tracklets"]
        if entry["identity"] != asked or entry["split"] == "query"
    ]
    (shop / INDEX).write_text(json.dumps(content))
    assert outcome("shop", shop.parent) == "loads"
    ours = load("shop", shop.parent, combineall=True)
    assert (ours.num_train_pids, len(ours.train)) == (10, len(content["tracklets"]))


def outcome(name: str, root: Path, split_id: int = 0) -> str:
    """Check and load a dataset; give the error that both name, or ``"loads"``."""
    errors = check_dataset(name, root, quick=True).of("error")
    try:
        load(name, root, split_id)
    except DataError as error:
        message = str(error)
        said = [f for f in errors if f.what in message and f.remedy in message]
        assert said, f"{message}\n{errors}"
        assert "\n" not in message
        assert len(message) < 1500
        assert str(root) in message
        return message
    assert not errors
    return "loads"


def table(name: str, edit: Callable[[Any], Any], **options: Any) -> Callable[[Path], None]:
    """Edit one of MARS's tables, saved as doubles."""

    def damage(mars: Path) -> None:
        path = mars / "info" / name
        (key,) = (key for key in loadmat(path) if key.startswith(("track", "query")))
        savemat(path, {key: edit(loadmat(path)[key].astype(np.float64))}, **options)

    return damage


def put(row: int, column: int, value: float) -> Callable[[Any], Any]:
    def edit(values: Any) -> Any:
        values[row, column] = value
        return values

    return edit


def text(name: str, edit: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        (folder / name).write_bytes(edit((folder / name).read_bytes()))

    return damage


def pipe(name: str) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        (folder / name).unlink()
        os.mkfifo(folder / name)

    return damage


TRAIN, TEST, QUERIES = "tracks_train_info.mat", "tracks_test_info.mat", "query_IDX.mat"
NAMES = "info/train_name.txt"

OF_MARS: dict[str, tuple[Callable[[Path], Any], str]] = {
    # what is done: words of what both say
    "doubles": (
        lambda mars: [table(name, lambda x: x)(mars) for name in (TRAIN, TEST, QUERIES)],
        "loads",
    ),
    "single floats": (table(TRAIN, lambda x: x.astype(np.float32)), "loads"),
    "version 4": (table(TRAIN, lambda x: x, format="4"), "loads"),
    "queries in a column": (table(QUERIES, lambda x: x.T), "loads"),
    "queries in a square": (table(QUERIES, lambda x: x.reshape(2, 2)), "of shape (2, 2), expected"),
    "Windows line ends": (text(NAMES, lambda b: b.replace(b"\n", b"\r\n")), "loads"),
    "old Mac line ends": (text(NAMES, lambda b: b.replace(b"\n", b"\r")), "loads"),
    "a mark of byte order": (text(NAMES, lambda b: b"\xef\xbb\xbf" + b), "loads"),
    "blanks at the end": (text(NAMES, lambda b: b.replace(b"\n", b" \t \n") + b"\n\n"), "loads"),
    "no number": (table(TRAIN, put(1, 1, np.nan)), "float64 of shape (16, 4), with nan in row 2"),
    "infinite": (table(TRAIN, put(1, 1, np.inf)), "with inf in row 2"),
    "a fraction": (table(TRAIN, put(0, 2, 1.5)), "with 1.5 in row 1, expected whole numbers"),
    "an endless number": (table(TRAIN, put(0, 1, 1e20)), "with 1e+20 in row 1"),
    "a large number": (table(TRAIN, put(0, 1, 1e15)), "frames 1 to 1000000000000000 of 80"),
    "rows that all name all": (
        table(TRAIN, lambda x: np.tile([[1, 80, 1, 1]], (1000, 1))),
        "The rows of info/tracks_train_info.mat name 80,000 frames together",
    ),
    "a query 0": (table(QUERIES, put(0, 0, 0)), "outside of the 8 rows"),
    "a query beyond": (table(QUERIES, put(0, 0, 9)), "outside of the 8 rows"),
    "no query": (table(QUERIES, lambda x: x[:, :0]), "query_IDX"),
    "all are queries": (table(QUERIES, lambda x: np.arange(1.0, 9)[None]), "None of the 8 queries"),
    "all are junk": (table(TRAIN, lambda x: np.where([0, 0, 1, 0], -1, x)), "no row of a person"),
    "a camera 7": (table(TEST, put(0, 3, 7)), "or none of 1 to 6: info/tracks_test_info.mat row 1"),
    "a person in train and test": (table(TEST, put(2, 2, 3)), "person 0003, frames of 0002"),
    "an empty table": (text(f"info/{TRAIN}", lambda b: b""), "(it has 0 bytes)"),
    "half a table": (text(f"info/{TEST}", lambda b: b[:200]), "cannot be read as a MATLAB file"),
    "a table of 7.3": (
        text(f"info/{TEST}", lambda b: b[:124] + b"\0\2IM" + bytes(384) + b"\x89HDF\r\n\x1a\n"),
        "it is of version 7.3, which is HDF5: save it in MATLAB with '-v7'",
    ),
    "no table": (lambda mars: (mars / "info" / TEST).unlink(), f"/mars/info/{TEST}"),
    "a pipe for a table": (pipe(f"info/{TRAIN}"), f"{TRAIN} is a pipe, not a file"),
    "a pipe for a list": (pipe(NAMES), f"{NAMES} is a pipe, not a file"),
    "a folder for a list": (
        lambda mars: ((mars / NAMES).unlink(), (mars / NAMES).mkdir()),
        f"{NAMES} is a folder, not a file",
    ),
    "a binary list": (text(NAMES, lambda b: bytes(range(256)) * 99), "no frame names of MARS"),
    "a list that is not UTF-8": (
        text(NAMES, lambda b: b.replace(b"0001C1T0001F001", b"0001C1T0001F\xff\xfe")),
        r"line 1: '0001C1T0001F\udcff\udcfe.jpg'",
    ),
    "digits of another script": (
        text(NAMES, lambda b: b.replace(b"F001", "F00\u0661".encode())),
        "no frame names of MARS",
    ),
    "a list with a NUL": (text(NAMES, lambda b: b.replace(b"T", b"\0", 1)), "line 1: '0001C1"),
    "one endless line": (text(NAMES, lambda b: b"1" * 2**20), "outside of info/train_name.txt"),
    "many empty lines": (
        text(NAMES, lambda b: b + b"\n" * 2**20 + b"end"),
        "it has 1,048,656 lines that are shorter",
    ),
    "capitals": (text(NAMES, lambda b: b.replace(b".jpg", b".JPG")), "no frame names of MARS"),
    "a row twice": (table(TRAIN, lambda x: np.concatenate([x, x[-1:]])), "loads"),
    "no info": (lambda mars: shutil.rmtree(mars / "info"), "There is no "),
    "a file for the folder": (
        lambda mars: (shutil.rmtree(mars), mars.write_text("")),
        "There is no folder",
    ),
}


@pytest.mark.parametrize("damage", OF_MARS)
def test_mars_loads_or_is_refused_as_the_check_says(damage: str, own_mars_root: Path) -> None:
    do, expected = OF_MARS[damage]
    do(own_mars_root / "mars")
    assert expected in outcome("mars", own_mars_root)


SPLITS = "splits_prid2011.json"
CAM_A = "prid_2011/multi_shot/cam_a"
GOOD = {"train": ["person_0001", "person_0003"], "test": ["person_0002", "person_0004"]}


def splits(content: object) -> Callable[[Path], object]:
    return lambda base: (base / SPLITS).write_text(json.dumps(content))


def renamed(new: bytes) -> Callable[[Path], object]:
    """Give a person another name, in the file of splits too."""

    def damage(base: Path) -> None:
        name = os.fsdecode(new)
        for camera in ("cam_a", "cam_b"):
            home = base / "prid_2011" / "multi_shot" / camera
            (home / "person_0001").rename(home / name)
        splits([{**GOOD, "train": [name, "person_0003"]}])(base)

    return damage


NO_SPLITS = f"{SPLITS} does not hold a list of splits"

OF_PRID2011: dict[str, tuple[Callable[[Path], object], str]] = {
    "a name with blanks": (renamed(b"someone else"), "loads"),
    "a name that is a pattern": (renamed(b"[a-z]*?"), "loads"),
    "a name that is not UTF-8": (renamed(b"person_\xff1"), "loads"),
    "a mark of byte order": (text(SPLITS, lambda b: b"\xef\xbb\xbf" + b), "loads"),
    "an object": (splits(GOOD), NO_SPLITS),
    "a number": (splits(7), NO_SPLITS),
    "null": (splits(None), NO_SPLITS),
    "no test": (splits([{"train": ["person_0001"]}]), NO_SPLITS),
    "numbers for names": (splits([{"train": [1], "test": [2]}]), NO_SPLITS),
    "text for a list": (splits([{"train": "person_0001", "test": "person_0002"}]), NO_SPLITS),
    "a path for a name": (splits([{**GOOD, "train": ["../cam_a/person_0001"]}]), NO_SPLITS),
    "an empty name": (splits([{**GOOD, "train": [""]}]), NO_SPLITS),
    "an endless name": (splits([{**GOOD, "train": ["1" * 5000]}]), NO_SPLITS),
    "half a surrogate": (splits([{**GOOD, "train": ["\ud800"]}]), NO_SPLITS),
    "a name that is not there": (
        splits([{**GOOD, "train": ["person_0009"]}]),
        f"without a folder under a camera: {CAM_A}/person_0009 and 1 more",
    ),
    "someone in both halves": (
        splits([{**GOOD, "test": ["person_0001"]}]),
        "both train and test in splits_prid2011.json: split 0: person_0001",
    ),
    "someone twice": (splits([{**GOOD, "test": 2 * ["person_0002"]}]), "twice in a half"),
    "deep nesting": (text(SPLITS, lambda b: b"[" * 100_000), f"{SPLITS} cannot be read as JSON"),
    "a number of 5000 digits": (text(SPLITS, lambda b: b"9" * 5000), SPLITS),
    "a key twice": (
        text(SPLITS, lambda b: b.replace(b'"test"', b'"train"')),
        "(the key 'train' is given twice)",
    ),
    "not UTF-8": (text(SPLITS, lambda b: b.replace(b"_0001", b"\xff")), "cannot be read as JSON"),
    "empty": (text(SPLITS, lambda b: b""), "cannot be read as JSON"),
    "a pipe": (pipe(SPLITS), f"{SPLITS} is a pipe, not a file"),
    "no splits": (lambda base: (base / SPLITS).unlink(), f"There is no {{base}}/{SPLITS}"),
    "gigabytes": (
        lambda base: os.truncate(base / SPLITS, 2**33),
        "has 8,589,934,592 bytes, expected at most",
    ),
    "a file for a camera": (
        lambda base: (shutil.rmtree(base / CAM_A), (base / CAM_A).write_text("")),
        f"{CAM_A} cannot be read (Not a directory)",
    ),
    "a file for a person": (
        lambda base: (
            shutil.rmtree(base / CAM_A / "person_0001"),
            (base / CAM_A / "person_0001").write_text(""),
        ),
        f"without a folder under a camera: {CAM_A}/person_0001",
    ),
    "JPEG only": (
        lambda base: [f.rename(f.with_suffix(".jpg")) for f in base.glob(f"{CAM_A}/*1/*.png")],
        "without a .png",
    ),
}


@pytest.mark.parametrize("damage", OF_PRID2011)
def test_prid2011_loads_or_is_refused_as_the_check_says(damage: str, prid_root: Path) -> None:
    do, expected = OF_PRID2011[damage]
    base = prid_root / "prid2011"
    do(base)
    assert expected.format(base=base) in outcome("prid2011", prid_root)


ILIDS_TABLE = "train-test people splits/train_test_splits_ilidsvid.mat"

OF_ILIDSVID: dict[str, tuple[Callable[[Any], Any], str]] = {
    "another shape": (lambda x: x[:, :200], "of shape (10, 200), expected whole numbers, 10 × 300"),
    "someone beyond": (lambda x: np.where(x == 300, 301, x), "not each of 1 to 300 once: split 0"),
    "someone 0": (lambda x: np.where(x == 300, 0, x), "not each of 1 to 300 once: split 0"),
    "no number": (lambda x: np.where(x == 300, np.nan, x), "with nan in row"),
    "doubles": (lambda x: x.astype(np.float64), "loads"),
}


def test_ilidsvid_loads_or_is_refused_as_the_check_says(ilids_root: Path) -> None:
    path = ilids_root / "ilids-vid" / ILIDS_TABLE
    good = loadmat(path)["ls_set"]
    for edit, expected in OF_ILIDSVID.values():
        savemat(path, {"ls_set": edit(good)})
        assert expected in outcome("ilidsvid", ilids_root)
        assert (ilids_root / "ilids-vid" / "splits.json").exists() == (expected == "loads")


def fifth(entry: dict[str, Any]) -> Callable[[Path], None]:
    """Change the fifth tracklet of a converted set's index."""

    def damage(shop: Path) -> None:
        content = json.loads((shop / INDEX).read_text())
        content["tracklets"][4].update(entry)
        (shop / INDEX).write_text(json.dumps(content))

    return damage


OF_CONVERTED: dict[str, tuple[Callable[[Path], object], str]] = {
    "someone trains and tests": (fifth({"split": "query"}), f"both train and test in {INDEX}: p"),
    "a split that is a list": (fifth({"split": []}), "cannot be used at tracklet 5"),
    "an endless name": (fifth({"identity": "p" * 10**5}), "cannot be used at tracklet 5"),
    "half a surrogate": (fifth({"camera": "\ud800"}), "cannot be used at tracklet 5"),
    "a NUL": (fifth({"camera": "do\0or"}), "cannot be used at tracklet 5"),
    "deep nesting": (text(INDEX, lambda b: b'{"a":' * 100_000), f"{INDEX} cannot be read as JSON"),
    "a version of 5000 digits": (
        text(INDEX, lambda b: b.replace(b'"version": 1', b'"version": ' + b"1" * 5000)),
        f"{INDEX} cannot be read as JSON",
    ),
    "an endless version": (
        text(INDEX, lambda b: b.replace(b'"version": 1', b'"version": "' + b"1" * 5000 + b'"')),
        "expected {'format': 'nr3d-dataset', 'version': 1}",
    ),
    "a key twice": (
        text(INDEX, lambda b: b.replace(b'"camera"', b'"identity"', 1)),
        "(the key 'identity' is given twice)",
    ),
    "not UTF-8": (text(INDEX, lambda b: b.replace(b"door", b"\xff")), "cannot be read as JSON"),
    "a pipe": (pipe(INDEX), "nr3d-dataset.json"),
}


@pytest.mark.parametrize("damage", OF_CONVERTED)
def test_a_converted_set_loads_or_is_refused_as_the_check_says(damage: str, shop: Path) -> None:
    convert(shop)
    do, expected = OF_CONVERTED[damage]
    do(shop)
    assert expected in outcome("shop", shop.parent)


def test_names_that_are_not_utf8_go_through(shop: Path) -> None:
    home = shop / "p1" / "door"
    odd = shop / os.fsdecode(b"p\xff") / os.fsdecode(b"d\xe9 [1]*")
    odd.parent.mkdir()
    shutil.copytree(home, odd)
    (odd / "take1" / "9.jpg").rename(odd / "take1" / os.fsdecode(b"\xfe9.jpg"))
    convert(shop)
    assert outcome("shop", shop.parent) == "loads"
    loaded = load("shop", shop.parent)
    paths = [p for t in (*loaded.train, *loaded.query, *loaded.gallery) for p in t[0]]
    assert sum("\udcff" in path for path in paths) == 6
    assert all(Path(path).is_file() for path in paths)


@pytest.mark.parametrize("name", ["data [v1]", "a*b", "what?", "two  words", os.fsdecode(b"d\xff")])
def test_a_root_of_any_name_loads(name: str, prid_root: Path, tmp_path: Path) -> None:
    root = tmp_path / name
    root.mkdir()
    (prid_root / "prid2011").rename(root / "prid2011")
    assert outcome("prid2011", root) == "loads"
    assert [len(paths) for paths, *_ in load("prid2011", root).train] == [10, 10, 10, 10]


@pytest.mark.parametrize(
    ("name", "folder", "inside"),
    [
        ("mars", "mars", "info/query_IDX.mat"),
        ("prid2011", "prid2011", CAM_A),
        ("ilidsvid", "ilids-vid", "i-LIDS-VID/sequences/cam1"),
    ],
)
def test_a_root_that_is_the_datasets_own_folder_is_said_alike(
    name: str, folder: str, inside: str, tmp_path: Path
) -> None:
    root = tmp_path / folder
    (root / inside).mkdir(parents=True)
    assert outcome(name, root).endswith(
        f"There is no folder {root / folder}. --root is the folder above the dataset's: give "
        f"--root {tmp_path}."
    )
    assert not (root / folder).exists(), "torchreid makes it, to download into"


@pytest.mark.parametrize("split_id", [-1, 10, 10**30])
def test_a_split_that_is_not_there_is_refused(split_id: int, tmp_path: Path) -> None:
    write_prid2011(tmp_path, identities=4, frames=(1, 1), seed=1)
    with pytest.raises(
        ConfigError,
        match=rf"data.split_id is {split_id}, and {SPLITS} in {tmp_path}/prid2011 has 10 splits: "
        "set it to one from 0 to 9",
    ):
        load("prid2011", tmp_path, split_id)


def test_only_the_split_that_is_asked_for_must_be_right(prid_root: Path) -> None:
    splits([GOOD, {**GOOD, "train": ["person_0009"]}])(prid_root / "prid2011")
    assert len(load("prid2011", prid_root, 0).train) == 4
    assert "cam_a/person_0009" in outcome("prid2011", prid_root, 1)


def test_the_name_of_a_folder_is_not_torchreids(tmp_path: Path) -> None:
    (tmp_path / "ilids-vid").mkdir()
    for use in (load, check_dataset):
        with pytest.raises(ConfigError, match=r"is called 'ilidsvid' by torchreid: give ilidsvid"):
            use("ilids-vid", tmp_path)


class Own(torchreid.data.VideoDataset):  # type: ignore[misc]
    """A user's dataset."""

    error: BaseException = TypeError("'NoneType' object is not iterable\n  in line 3")

    def __init__(self, root: str = "", **kwargs: Any) -> None:
        raise self.error


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (TypeError("a\nb"), r"'own' cannot be loaded from .*: a b\. Put its files"),
        (KeyError(), r"KeyError while reading its files\. Put its files"),
        (RecursionError("deep"), "deep"),
        (DataError("its own words"), "^its own words$"),
    ],
)
def test_whatever_a_users_own_reader_raises_is_one_line(
    error: Exception,
    expected: str,
    tmp_path: Path,
    own_datasets: dict[str, object],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    torchreid.data.register_video_dataset("own", Own)
    monkeypatch.setattr(Own, "error", error)
    root = tmp_path / "data [v1]"
    root.mkdir()
    with pytest.raises(DataError, match=expected) as caught:
        load("own", root)
    assert ("which torchreid takes for a pattern" in str(caught.value)) == (
        not isinstance(error, DataError)
    )


@pytest.mark.parametrize("root", ["a\0b", "loop/x", "~nobody-of-this-name/x"])
def test_a_root_that_cannot_be_is_one_line(root: str, tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for use in (load, check_dataset):
        with pytest.raises(DataError, match=r"[Tt]here is no"):
            use("mars", Path(root) if root[0] == "~" else tmp_path / root)


@pytest.mark.parametrize(
    "command",
    [
        ["train", "--config", "mars"],
        ["pack", "--dataset", "mars", "--out", "{out}"],
        ["data", "check", "mars", "--quick"],
    ],
)
def test_each_command_says_it_in_one_line(
    command: list[str], own_mars_root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table(TRAIN, put(1, 1, np.nan))(own_mars_root / "mars")
    words = [word.format(out=tmp_path / "out.h5") for word in command]
    assert main([*words, "--root", str(own_mars_root)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    path = own_mars_root / "mars" / "info" / TRAIN
    assert f"track_train_info in {path} is float64 of shape (16, 4), with nan in row 2" in line
