"""Synthetic MARS: its people, frames and tables, and the writing of the dataset."""

import contextlib
import hashlib
import io
import json
import os
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
import torchreid
from PIL import Image
from scipy.io import loadmat

from nr3d.errors import DataError, Nr3dError
from nr3d.synthetic import write_mars
from nr3d.synthetic.body import body_parts
from nr3d.synthetic.gait import knee_angle, walk
from nr3d.synthetic.paint import Light, View, draw_parts
from nr3d.synthetic.people import appearance_distance, sample_people

IDENTITIES, CAMERAS, TAKES = 9, 3, 2
SETTINGS = {"cameras": CAMERAS, "tracklets_per_camera": TAKES, "frames": (4, 6)}
TINY = {"cameras": 2, "tracklets_per_camera": 1, "frames": (1, 2)}


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    root = tmp_path_factory.mktemp("synthetic")
    return write_mars(root, IDENTITIES, 3, **SETTINGS)


@pytest.fixture(scope="module")
def dataset(written):
    with contextlib.redirect_stdout(io.StringIO()):
        return torchreid.data.datasets.init_video_dataset(
            "mars", root=str(written.root), transform=lambda x: x, mode="train"
        )


def digest(root):
    files = sorted(path for path in Path(root).rglob("*") if path.is_file())
    return {
        path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
    }


def pixels(path):
    return np.asarray(Image.open(path))


def test_torchreid_counts_what_the_summary_says(written, dataset):
    assert len(dataset.train) == written.train_tracklets == 5 * CAMERAS * TAKES
    assert len(dataset.query) == written.query == 4 * CAMERAS
    assert len(dataset.gallery) == written.gallery
    tracklets = dataset.train + dataset.query + dataset.gallery
    paths = {path for tracklet in tracklets for path in tracklet[0]}
    on_disk = {str(path) for path in (written.root / "mars").rglob("*.jpg")}
    assert paths == on_disk
    assert len(paths) == written.frames
    assert (written.train_identities, written.test_identities) == (5, 4)
    assert (written.identities, written.seed, written.cameras) == (IDENTITIES, 3, CAMERAS)
    assert {tracklet[2] for tracklet in dataset.train} == set(range(CAMERAS))
    assert {len(tracklet[0]) for tracklet in tracklets} == {4, 5, 6}


def test_tables_are_those_of_mars(written):
    info = written.root / "mars" / "info"
    train = loadmat(info / "tracks_train_info.mat")["track_train_info"]
    test = loadmat(info / "tracks_test_info.mat")["track_test_info"]
    query = loadmat(info / "query_IDX.mat")["query_IDX"]
    assert query.shape == (1, written.query)
    assert query.min() >= 1
    assert query.max() <= len(test)
    for split, table in (("train", train), ("test", test)):
        names = (info / f"{split}_name.txt").read_text().split()
        assert table[0, 0] == 1
        assert table[-1, 1] == len(names)
        np.testing.assert_array_equal(table[1:, 0], table[:-1, 1] + 1)
        for first, last, pid, camid in table.tolist():
            heads = {name[:6] for name in names[first - 1 : last]}
            assert heads == {f"{pid:04d}C{camid}"}
            frames = [int(name[12:15]) for name in names[first - 1 : last]]
            assert frames == list(range(1, last - first + 2))
    assert set(train[:, 2]) == {1, 2, 3, 4, 5}
    assert set(test[:, 2]) == {0, 6, 7, 8, 9}
    assert 0 not in test[query[0] - 1, 2]


def test_every_query_has_a_match_under_another_camera(dataset):
    gallery = {(pid, camid) for _, pid, camid, *_ in dataset.gallery}
    for _, pid, camid, *_ in dataset.query:
        assert any(other == pid and seen != camid for other, seen in gallery)


@pytest.mark.parametrize("cameras", [2, 3])
def test_one_take_a_camera_leaves_matches_in_the_gallery(tmp_path, cameras):
    written = write_mars(tmp_path, 4, 0, **{**TINY, "cameras": cameras})
    info = tmp_path / "mars" / "info"
    test = loadmat(info / "tracks_test_info.mat")["track_test_info"]
    rows = loadmat(info / "query_IDX.mat")["query_IDX"][0] - 1
    rest = np.delete(test, rows, axis=0)
    assert written.query == len(rows)
    assert {int(pid) for pid in test[rows, 2]} == {3, 4}
    for _, _, pid, camid in test[rows]:
        assert np.any((rest[:, 2] == pid) & (rest[:, 3] != camid))


def test_same_seed_same_bytes_whatever_the_hash_seed(tmp_path):
    code = (
        "import sys; from nr3d.synthetic import write_mars; "
        "write_mars(sys.argv[1], 4, 7, cameras=2, tracklets_per_camera=1, frames=(1, 2))"
    )
    write_mars(tmp_path / "here", 4, 7, **TINY)
    environment = {**os.environ, "PYTHONHASHSEED": "12345"}
    environment["PYTHONPATH"] = str(Path(__file__).resolve().parents[2])
    command = [sys.executable, "-c", code, str(tmp_path / "there")]
    subprocess.run(command, check=True, env=environment, timeout=120)
    here = digest(tmp_path / "here")
    assert here == digest(tmp_path / "there")
    write_mars(tmp_path / "other", 4, 8, **TINY)
    other = digest(tmp_path / "other")
    images = [name for name in here if name.endswith(".jpg") and name in other]
    assert images
    assert all(here[name] != other[name] for name in images)


def test_the_first_people_do_not_depend_on_how_many_follow():
    assert sample_people(5, 12)[:7] == sample_people(5, 7)
    assert sample_people(5, 7) != sample_people(6, 7)


def test_no_two_people_look_the_same():
    people = sample_people(0, 60)
    pairs = [appearance_distance(a, b) for i, a in enumerate(people) for b in people[:i]]
    assert min(pairs) > 0.25
    assert appearance_distance(people[0], people[0]) == 0.0


def test_frames_are_rgb_pictures_of_mars_size(dataset):
    for paths, *_ in dataset.train[::7] + dataset.gallery[::7]:
        for path in paths:
            image = Image.open(path)
            assert (image.size, image.mode, image.format) == ((128, 256), "RGB", "JPEG")
            assert np.asarray(image).std() > 12.0


def outline(person, phase, yaw):
    canvas, cover = np.zeros((256, 128, 3), np.float32), np.zeros((256, 128), np.float32)
    view = View(yaw, 0.2, 130.0, 64.0, 245.0)
    draw_parts(
        canvas, cover, body_parts(person, walk(person, phase)), view, Light(0, -0.6, 0.8, 0.5)
    )
    return cover > 0.5


@pytest.mark.parametrize(("yaw", "share"), [(0.0, 0.04), (np.pi / 2, 0.2), (np.pi, 0.04)])
def test_walking_moves_the_limbs_and_repeats_after_a_cycle(yaw, share):
    for person in sample_people(1, 4):
        start, step = outline(person, 0.0, yaw), outline(person, 0.3, yaw)
        legs = slice(150, 256)
        assert (start[legs] ^ step[legs]).sum() > share * start[legs].sum()
        np.testing.assert_array_equal(outline(person, 1.0, yaw), start)


def test_the_limbs_swing_about_a_trunk_that_stays_upright():
    for person in sample_people(1, 4):
        poses = [walk(person, phase) for phase in np.arange(0.0, 1.0, 0.1)]
        for side in ("left", "right"):
            for joint, travel in (("knee", 0.25), ("ankle", 0.5), ("wrist", 0.15)):
                places = [getattr(getattr(pose, side), joint) - pose.pelvis for pose in poses]
                assert np.ptp([place[2] for place in places]) > travel
        heads = [pose.head - pose.pelvis for pose in poses]
        assert np.ptp(heads, axis=0).max() < 1e-9


def test_one_knee_is_bent_while_the_other_leg_stands():
    assert knee_angle(0.72) > 0.9
    assert knee_angle(0.22) < 0.35
    person = sample_people(2, 1)[0]
    pose = walk(person, 0.0)
    assert pose.left.ankle[2] > pose.pelvis[2] > pose.right.ankle[2]
    assert pose.left.wrist[2] < pose.right.wrist[2]


def test_frames_of_a_tracklet_differ_by_more_than_noise(dataset):
    moved = []
    for paths, *_ in dataset.train:
        first, later = (pixels(path).astype(float).mean(axis=2) for path in (paths[0], paths[3]))
        blocks = [image.reshape(32, 8, 16, 8).mean(axis=(1, 3)) for image in (first, later)]
        moved.append((np.abs(blocks[0] - blocks[1]) > 15.0).mean())
    # averages of 64 pixels: sensor noise of 6 grey levels moves them by less than 2
    assert np.median(moved) > 0.05
    assert min(moved) > 0.005


def test_cameras_differ_in_colour(dataset):
    casts = defaultdict(list)
    for paths, _, camid, *_ in dataset.train:
        mean = pixels(paths[0]).mean(axis=(0, 1))
        casts[camid].append(np.append(mean / mean.sum(), mean.mean() / 600.0))
    means = np.array([np.mean(casts[camid], axis=0) for camid in sorted(casts)])
    gaps = [np.abs(a - b).sum() for i, a in enumerate(means) for b in means[:i]]
    assert min(gaps) > 0.02


def test_the_occlusion_list_covers_all_frames_and_some_are_hidden(written):
    lines = (written.root / "mars" / "info" / "occlusion.txt").read_text().splitlines()
    listed = {name: float(share) for name, share in (line.split() for line in lines)}
    assert len(listed) == len(lines) == written.frames
    assert set(listed) == {path.name for path in (written.root / "mars").rglob("*.jpg")}
    shares = np.array(list(listed.values()))
    assert shares.min() >= 0.0
    assert shares.max() <= 1.0
    assert shares.max() > 0.25
    assert 0.03 < (shares > 0.05).mean() < 0.5


def test_an_existing_dataset_with_the_same_settings_is_kept(tmp_path):
    first = write_mars(tmp_path, 4, 1, **TINY)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    assert write_mars(str(tmp_path), 4, 1, **TINY) == first
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before
    with pytest.raises(DataError, match=r"seed 1 instead of 2.*delete"):
        write_mars(tmp_path, 4, 2, **TINY)
    stamp = tmp_path / "mars" / "info" / "synthetic.json"
    settings = json.loads(stamp.read_text())
    settings["settings"]["generator"] = -1
    stamp.write_text(json.dumps(settings))
    with pytest.raises(DataError, match="generator -1"):
        write_mars(tmp_path, 4, 1, **TINY)
    stamp.write_text("[]")
    with pytest.raises(DataError, match="cannot be read"):
        write_mars(tmp_path, 4, 1, **TINY)


def test_a_foreign_folder_is_not_touched(tmp_path):
    (tmp_path / "mars" / "bbox_train").mkdir(parents=True)
    with pytest.raises(DataError, match="was not written by nr3d"):
        write_mars(tmp_path, 4, 1, **TINY)
    assert [path.name for path in tmp_path.rglob("*")] == ["mars", "bbox_train"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"identities": 3}, "identities is 3, expected 4 to"),
        ({"identities": 10_000}, "identities is 10000"),
        ({"identities": 4.5}, "whole number, got 4.5"),
        ({"seed": -1}, "seed is -1"),
        ({"cameras": 1}, "cameras is 1, expected 2 to 6"),
        ({"cameras": 7}, "cameras is 7, expected 2 to 6"),
        ({"tracklets_per_camera": 0}, "tracklets_per_camera is 0"),
        ({"frames": (0, 4)}, r"frames \(least\) is 0"),
        ({"frames": (5, 4)}, r"frames \(greatest\) is 4, expected 5 to"),
    ],
)
def test_bad_arguments_are_named_and_nothing_is_written(tmp_path, arguments, words):
    with pytest.raises(Nr3dError, match=words):
        write_mars(tmp_path / "out", **arguments)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_an_interruption_leaves_nothing_behind(tmp_path, error):
    drawn = []

    def stop(tracklets):
        for number, tracklet in enumerate(tracklets):
            if number == 2:
                drawn.extend(tmp_path.rglob("*.jpg"))
                raise error
            yield tracklet

    with pytest.raises(error):
        write_mars(tmp_path, 4, 0, progress=stop, **TINY)
    assert drawn
    assert list(tmp_path.iterdir()) == []


def test_progress_sees_every_tracklet(tmp_path):
    seen = []

    def watch(tracklets):
        for tracklet in tracklets:
            seen.append(tracklet)
            yield tracklet

    written = write_mars(tmp_path, 4, 0, progress=watch, **TINY)
    assert len(seen) == written.train_tracklets + written.query + written.gallery
