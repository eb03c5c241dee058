"""Synthetic PRID2011 and iLIDS-VID, read with torchreid's own loaders."""

import contextlib
import hashlib
import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
import torchreid
from PIL import Image
from scipy.io import loadmat

from nr3d.data import in_time_order
from nr3d.errors import DataError, Nr3dError
from nr3d.synthetic import read_occlusion, write_ilidsvid, write_prid2011
from nr3d.synthetic.ilidsvid import IlidsVidLayout
from nr3d.synthetic.prid2011 import Prid2011Layout

WRITERS = {"prid2011": write_prid2011, "ilidsvid": write_ilidsvid}
FOLDERS = {"prid2011": "prid2011", "ilidsvid": "ilids-vid"}
SPLIT_FILES = {"prid2011": "splits_prid2011.json", "ilidsvid": "splits.json"}
IDENTITIES = 7

both = pytest.mark.parametrize("name", WRITERS)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    root = tmp_path_factory.mktemp("two-cameras")
    return {name: write(root, IDENTITIES, 3, frames=(2, 3)) for name, write in WRITERS.items()}


def load(name, root, split_id, mode="train"):
    with contextlib.redirect_stdout(io.StringIO()):
        return torchreid.data.datasets.init_video_dataset(
            name, root=str(root), split_id=split_id, transform=lambda x: x, mode=mode
        )


def folder_of(tracklet):
    return Path(tracklet[0][0]).parent.name


@both
def test_torchreid_reads_every_split(written, name):
    summary = written[name]
    halves = set()
    for split_id in range(10):
        dataset = load(name, summary.root, split_id)
        assert len(dataset.train) == summary.train_tracklets == 2 * 4
        assert len(dataset.query) == summary.query == 3
        assert len(dataset.gallery) == summary.gallery == 3
        assert {tracklet[2] for tracklet in dataset.train} == {0, 1}
        assert {tracklet[2] for tracklet in dataset.query} == {0}
        assert {tracklet[2] for tracklet in dataset.gallery} == {1}
        train = {folder_of(tracklet) for tracklet in dataset.train}
        test = {folder_of(tracklet) for tracklet in dataset.query}
        assert test == {folder_of(tracklet) for tracklet in dataset.gallery}
        assert (len(train), len(test)) == (summary.train_identities, summary.test_identities)
        assert not train & test
        # one person, one label
        for part in (dataset.train, [*dataset.query, *dataset.gallery]):
            assert len({(folder_of(t), t[1]) for t in part}) == len({t[1] for t in part})
        halves.add(frozenset(train))
        paths = {p for t in (*dataset.train, *dataset.query, *dataset.gallery) for p in t[0]}
        assert paths == {str(p) for p in (summary.root / FOLDERS[name]).rglob("*.png")}
        assert len(paths) == summary.frames
    assert len(halves) > 5
    with pytest.raises(ValueError, match="between 0 and 9"):
        load(name, summary.root, 10)


@both
def test_frames_are_in_the_originals_places_and_order(written, name):
    pattern = {
        "prid2011": r"prid_2011/multi_shot/cam_([ab])/person_(\d{4})/(\d{4})\.png",
        "ilidsvid": r"i-LIDS-VID/sequences/cam([12])/person(\d{3})/cam\1_person\2_(\d{5})\.png",
    }[name]
    home = written[name].root / FOLDERS[name]
    tracklets = {}
    for path in home.rglob("*.png"):
        found = re.fullmatch(pattern, path.relative_to(home).as_posix())
        assert found, path
        tracklets.setdefault(found.groups()[:2], []).append(int(found.group(3)))
        image = Image.open(path)
        assert (image.size, image.mode, image.format) == ((64, 128), "RGB", "PNG")
        assert np.asarray(image).std() > 12.0
    assert len(tracklets) == 2 * IDENTITIES
    for numbers in tracklets.values():
        assert sorted(numbers) == list(range(min(numbers), min(numbers) + len(numbers)))
        assert len(numbers) in (2, 3)
    starts = {min(numbers) for numbers in tracklets.values()}
    assert (starts == {1}) == (name == "prid2011")
    for paths, *_ in load(name, written[name].root, 0).train:
        numbers = [int(path[-8:-4]) for path in in_time_order(paths)]
        assert numbers == sorted(numbers)


@both
def test_the_occlusion_list_names_every_frame(written, name):
    home = written[name].root / FOLDERS[name]
    shares = read_occlusion(home)
    assert len(shares) == written[name].frames
    if name == "prid2011":
        base = home / "prid_2011" / "multi_shot"
        assert set(shares) == {p.relative_to(base).as_posix() for p in base.rglob("*.png")}
    else:
        assert set(shares) == {path.name for path in home.rglob("*.png")}
    assert all(0 <= share <= 1 for share in shares.values())


def test_ilidsvids_table_says_what_its_splits_say(written):
    home = written["ilidsvid"].root / "ilids-vid"
    mat = home / "train-test people splits" / "train_test_splits_ilidsvid.mat"
    table = loadmat(mat)["ls_set"]
    assert table.shape == (10, IDENTITIES)
    people = sorted(path.name for path in (home / "i-LIDS-VID" / "sequences" / "cam1").iterdir())
    for row, split in zip(table, json.loads((home / "splits.json").read_text()), strict=True):
        assert sorted(row) == list(range(1, IDENTITIES + 1))
        names = [people[number - 1] for number in row]
        assert sorted(names[: IDENTITIES // 2]) == split["test"]
        assert sorted(names[IDENTITIES // 2 :]) == split["train"]


def test_torchreid_makes_the_same_splits_of_the_table_of_300_people(tmp_path):
    layout = IlidsVidLayout(300, 5, (1, 1))
    (tmp_path / "info").mkdir()
    layout.write_tables(tmp_path, [])
    for camera in ("cam1", "cam2"):
        for pid in range(1, 301):
            (tmp_path / "i-LIDS-VID/sequences" / camera / layout.person(pid)).mkdir(parents=True)
    ours = (tmp_path / "splits.json").rename(tmp_path / "ours.json")
    theirs = torchreid.data.datasets.iLIDSVID.__new__(torchreid.data.datasets.iLIDSVID)
    theirs.split_path = str(tmp_path / "splits.json")
    home = tmp_path / "train-test people splits"
    theirs.split_mat_path = str(home / "train_test_splits_ilidsvid.mat")
    theirs.cam_1_path, theirs.cam_2_path = (
        str(tmp_path / "i-LIDS-VID" / "sequences" / camera) for camera in ("cam1", "cam2")
    )
    with contextlib.redirect_stdout(io.StringIO()):
        theirs.prepare_split()
    assert json.loads(Path(theirs.split_path).read_text()) == json.loads(ours.read_text())


def digest(root):
    files = sorted(path for path in Path(root).rglob("*") if path.is_file())
    return {
        path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
    }


@both
def test_same_seed_same_bytes_and_another_seed_others(tmp_path, name):
    for place, seed in (("here", 7), ("there", 7), ("other", 8)):
        WRITERS[name](tmp_path / place, 4, seed, frames=(1, 1))
    here, other = digest(tmp_path / "here"), digest(tmp_path / "other")
    assert here == digest(tmp_path / "there")
    # iLIDS-VID's names hold a drawn number
    images = {content for file, content in here.items() if file.endswith(".png")}
    assert len(images) == 8
    assert not images & set(other.values())


def test_datasets_of_one_seed_hold_other_people_under_other_cameras():
    prid, ilids = Prid2011Layout(4, 1, (1, 1)), IlidsVidLayout(4, 1, (1, 1))
    assert len({prid.film_seed, ilids.film_seed, 1}) == 3
    people = [tracklet.person for layout in (prid, ilids) for tracklet in layout.plan()]
    assert len(set(people)) == 8


@both
def test_an_existing_dataset_with_the_same_settings_is_kept(tmp_path, name):
    write = WRITERS[name]
    first = write(tmp_path, 4, 1, frames=(1, 1))
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    assert write(str(tmp_path), 4, 1, frames=(1, 1)) == first
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before
    for changed, words in (
        ({"identities": 5}, "identities 4 instead of 5"),
        ({"occluded": 0.5}, "occluded 0.2 instead of 0.5"),
        ({"camera_shift": 2}, "camera_shift 1.0 instead of 2.0"),
    ):
        with pytest.raises(DataError, match=rf"{FOLDERS[name]} holds another.*{words}.*delete"):
            write(tmp_path, **{"identities": 4, "seed": 1, "frames": (1, 1), **changed})


@both
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"identities": 3}, "identities is 3, expected 4 to"),
        ({"identities": 10_000}, "identities is 10000, expected 4 to 9*;"),
        ({"seed": -1}, "seed is -1"),
        ({"frames": (5, 4)}, r"frames \(greatest\) is 4, expected 5 to"),
        ({"occluded": 1.5}, "occluded is 1.5, expected 0.0 to 1.0"),
        ({"camera_shift": -1}, "camera_shift is -1.0, expected 0.0 to 4.0"),
    ],
)
def test_bad_arguments_are_named_and_nothing_is_written(tmp_path, name, arguments, words):
    with pytest.raises(Nr3dError, match=words):
        WRITERS[name](tmp_path / "out", **arguments)
    assert not (tmp_path / "out").exists()


def test_ilidsvids_names_have_room_for_999_people(tmp_path):
    with pytest.raises(Nr3dError, match="identities is 1000, expected 4 to 999"):
        write_ilidsvid(tmp_path, 1000)
