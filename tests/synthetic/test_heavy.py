"""Heavy occlusion: what the frames show, and the truth beside the tables."""

import hashlib
import json
from collections import Counter
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nr3d.errors import ConfigError, DataError
from nr3d.synthetic import WRITERS, FrameTruth, read_frames, read_occlusion, write_mars
from nr3d.synthetic.cameras import sample_camera
from nr3d.synthetic.fabric import Fabric
from nr3d.synthetic.people import sample_people
from nr3d.synthetic.render import film_tracklet
from nr3d.synthetic.troubles import TROUBLES, sample_troubles

FOLDERS = {"mars": "mars", "prid2011": "prid2011", "ilidsvid": "ilids-vid"}
IDENTITIES, HALF = 10, 5
SMALL = {"cameras": 2, "tracklets_per_camera": 2, "frames": (8, 8)}


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """Return the folders of one dataset, drawn with heavy occlusion and with none."""
    root = tmp_path_factory.mktemp("heavy")
    write_mars(root / "heavy", IDENTITIES, 2, occlusion="heavy", **SMALL)
    write_mars(root / "none", IDENTITIES, 2, occluded=0, **SMALL)
    return root / "heavy" / "mars", root / "none" / "mars"


@pytest.fixture(scope="module")
def truths(drawn):
    return read_frames(drawn[0])


def tracklets_of(truths):
    found = {}
    for name, truth in truths.items():
        found.setdefault(name.split("F")[0], []).append(truth)
    return found


def path_of(home, name):
    return next(home.glob(f"bbox_*/{name[:4]}/{name}"))


def blocks(path, rows=16, columns=8):
    """Return the mean colours of the blocks of an image, of shape (rows, columns, 3)."""
    image = np.asarray(Image.open(path).convert("RGB")).astype(float)
    height, width = image.shape[:2]
    tiles = image.reshape(rows, height // rows, columns, width // columns, 3)
    return tiles.mean(axis=(1, 3))


def digest(root):
    return {
        path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in Path(root).rglob("*")
        if path.is_file()
    }


def test_about_half_the_frames_of_the_tracklets_that_suffer_are_bad(truths):
    tracklets = tracklets_of(truths)
    bad = [sum(truth.kind != "clean" for truth in frames) for frames in tracklets.values()]
    suffering = [count for count in bad if count]
    assert 0.75 < len(suffering) / len(bad) < 1.0
    assert set(suffering) == {3, 4, 5}
    assert 0.45 < np.mean(suffering) / 8 < 0.55


def test_troubles_last_and_most_clips_hold_good_and_bad_frames(truths):
    mixed, changes = [], []
    for frames in tracklets_of(truths).values():
        bad = np.array([truth.kind != "clean" for truth in frames])
        if bad.any():
            mixed += [0 < bad[start : start + 4].sum() < 4 for start in (0, 4)]
            changes.append(np.abs(np.diff(np.pad(bad, 1).astype(int))).sum() // 2)
            stretches = [
                (one.kind, one.other) == (two.kind, two.other)
                for one, two in pairwise(frames)
                if one.kind != "clean" and two.kind != "clean"
            ]
            assert all(stretches)
    assert np.mean(mixed) > 0.75
    assert set(changes) == {1, 2}


def test_every_kind_hides_as_much_as_it_says(truths):
    kinds = Counter(truth.kind for truth in truths.values())
    assert set(kinds) == {"clean", *TROUBLES}
    limits = {
        "clean": (0.0, 0.0),
        "passer-by": (0.6, 1.0),
        "other person": (0.85, 1.0),
        "background": (1.0, 1.0),
        "partial box": (2 / 3, 0.95),
    }
    for truth in truths.values():
        low, high = limits[truth.kind]
        assert low <= truth.hidden <= high, truth


def test_the_others_are_people_of_the_same_half_and_never_the_tracked_one(truths):
    shown = set()
    for name, truth in truths.items():
        pid = int(name[:4])
        assert (truth.other is not None) == (truth.kind in ("passer-by", "other person"))
        if truth.other is not None:
            assert truth.other != pid
            train = 1 <= pid <= HALF
            assert (1 <= truth.other <= HALF) == train
            assert 1 <= truth.other <= IDENTITIES
            shown.add(truth.other)
    assert len(shown) > 0.7 * IDENTITIES


def test_clean_frames_are_those_of_a_dataset_without_occlusion(drawn, truths):
    heavy, none = drawn
    for name, truth in truths.items():
        same = path_of(heavy, name).read_bytes() == path_of(none, name).read_bytes()
        assert same == (truth.kind == "clean"), (name, truth)


def test_frames_that_show_another_person_look_like_them(drawn, truths):
    heavy, none = drawn
    looks = {}  # mean picture of each person under each camera
    for path in none.glob("bbox_*/*/*.jpg"):
        looks.setdefault(path.name[:6], []).append(blocks(path))
    looks = {key: np.mean(pictures, axis=0) for key, pictures in looks.items()}
    for kind in ("passer-by", "other person"):
        nearer = []
        for name, truth in truths.items():
            if truth.kind == kind and name[:4] != "0000":
                picture = blocks(path_of(heavy, name))[:, 2:-2]
                gaps = [
                    np.abs(picture - looks[f"{pid:04d}{name[4:6]}"][:, 2:-2]).mean()
                    for pid in (truth.other, int(name[:4]))
                ]
                nearer.append(gaps[0] < gaps[1])
        assert np.mean(nearer) > 0.9


def in_grey(person, level):
    """Return a person of the same shape and gait in a single grey."""
    grey = (level, level, level)
    cloth = Fabric("plain", grey, grey, 0.1)
    given = {"skin": grey, "hair": grey, "top": cloth, "bottom": cloth, "shoes": grey}
    given |= {"hat": person.hat and grey, "inner": None, "emblem": None, "bag_colour": grey}
    return replace(person, **given)


@pytest.mark.parametrize("kind", TROUBLES)
def test_the_hidden_fraction_is_that_of_the_pixels(kind):
    """What changes with the colour of the person is the person."""
    person, *strangers = sample_people(4, 5)
    others = list(enumerate(strangers, start=2))
    camera = replace(sample_camera(1, 2), sharpness=0.7, noise=0.0)

    def film(level, troubles):
        rng = np.random.default_rng(3)
        shades = in_grey(person, level)
        return list(film_tracklet(shades, camera, 6, rng, strangers, 0.0, troubles))

    def areas(troubles):
        pairs = zip(film(0.1, troubles), film(0.9, troubles), strict=True)
        return [np.abs(one.image.astype(int) - other.image).sum() for one, other in pairs]

    wholes = areas(None)
    plans = (sample_troubles(np.random.default_rng(seed), 6, others) for seed in range(100))
    troubled = [plan for plan in plans if any(trouble and trouble.kind == kind for trouble in plan)]
    for troubles in troubled[:2]:
        frames = film(0.1, troubles)
        for frame, trouble, seen, whole in zip(
            frames, troubles, areas(troubles), wholes, strict=True
        ):
            if trouble is None:
                assert frame.truth == FrameTruth(0.0)
                assert seen == whole
            else:
                assert (frame.truth.kind, frame.truth.other) == (trouble.kind, trouble.pid)
                assert frame.truth.hidden == pytest.approx(1.0 - seen / whole, abs=0.03)
    assert len(troubled) > 2


@pytest.mark.parametrize("name", WRITERS)
def test_same_seed_same_bytes_in_every_layout(tmp_path, name):
    tiny = {"frames": (3, 3), "occlusion": "heavy"}
    for place in ("here", "there"):
        summary = WRITERS[name](tmp_path / place, 4, 7, **tiny)
    assert digest(tmp_path / "here") == digest(tmp_path / "there")
    home = tmp_path / "here" / FOLDERS[name]
    truths = read_frames(home)
    assert list(truths) == list(read_occlusion(home))
    assert len(truths) == summary.frames
    assert {name: truth.hidden for name, truth in truths.items()} == read_occlusion(home)
    bad = [truth for truth in truths.values() if truth.kind != "clean"]
    assert 0.2 < len(bad) / len(truths) < 0.7
    assert all(truth.hidden >= 0.6 for truth in bad)
    lines = (home / "info" / "frames.csv").read_text().splitlines()
    assert lines[0] == "frame,kind,other"
    assert WRITERS[name](tmp_path / "here", 4, 7, occluded=0.9, **tiny).frames == summary.frames


@pytest.mark.parametrize("frames", [1, 2])
def test_the_shortest_tracklets_keep_a_good_frame(tmp_path, frames):
    write_mars(tmp_path, 4, 1, cameras=2, frames=(frames, frames), occlusion="heavy", occluded=1)
    for shown in tracklets_of(read_frames(tmp_path / "mars")).values():
        assert sum(truth.kind == "clean" for truth in shown) == 1


def test_occluded_is_the_share_of_the_tracklets_that_suffer(tmp_path):
    for occluded in (0, 1):
        root = tmp_path / str(occluded)
        small = {"cameras": 2, "frames": (3, 3), "occlusion": "heavy"}
        write_mars(root, 4, 1, occluded=occluded, **small)
        for frames in tracklets_of(read_frames(root / "mars")).values():
            assert any(truth.kind != "clean" for truth in frames) == bool(occluded)


def test_the_usual_drawing_is_what_it_was(tmp_path):
    write_mars(tmp_path, 4, 3, cameras=2, frames=(4, 6), occluded=1, camera_shift=2)
    folder = tmp_path / "mars" / "bbox_train" / "0001"
    # mean grey levels drawn before there was heavy occlusion
    recorded = {
        "0001C1T0001F004.jpg": [[178.8, 168.9], [111.8, 115.4], [135.8, 133.6], [145.4, 111.1]],
        "0001C2T0002F004.jpg": [[167.3, 161.5], [151.1, 132.0], [139.0, 157.1], [132.7, 154.1]],
    }
    for name, levels in recorded.items():
        np.testing.assert_allclose(blocks(folder / name, 4, 2).mean(axis=2), levels, atol=1.0)
    info = tmp_path / "mars" / "info"
    assert (info / "occlusion.txt").read_text().split()[4:8:3] == ["0001C1T0001F003.jpg", "0.13"]
    assert not (info / "frames.csv").exists()
    assert "occlusion" not in json.loads((info / "synthetic.json").read_text())["settings"]


def test_stamps_tell_the_kinds_of_occlusion_apart(tmp_path):
    tiny = {"cameras": 2, "tracklets_per_camera": 1, "frames": (1, 1)}
    write_mars(tmp_path / "usual", 4, 1, **tiny)
    words = r"occluded 0.2 instead of 0.9, occlusion 'usual' instead of 'heavy'.*delete"
    with pytest.raises(DataError, match=words):
        write_mars(tmp_path / "usual", 4, 1, occlusion="heavy", **tiny)
    write_mars(tmp_path / "heavy", 4, 1, occlusion="heavy", **tiny)
    stamp = json.loads((tmp_path / "heavy" / "mars" / "info" / "synthetic.json").read_text())
    assert (stamp["settings"]["occlusion"], stamp["settings"]["occluded"]) == ("heavy", 0.9)
    with pytest.raises(DataError, match="occlusion 'heavy' instead of 'usual'"):
        write_mars(tmp_path / "heavy", 4, 1, occluded=0.9, **tiny)
    with pytest.raises(DataError, match=r"occluded 0.9 instead of 0.5"):
        write_mars(tmp_path / "heavy", 4, 1, occlusion="heavy", occluded=0.5, **tiny)


@pytest.mark.parametrize("name", WRITERS)
def test_an_unknown_kind_of_occlusion_is_refused(tmp_path, name):
    with pytest.raises(ConfigError, match="occlusion is 'light', expected usual or heavy"):
        WRITERS[name](tmp_path / "out", 4, occlusion="light")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, r"There is no .*frames\.csv: .*--occlusion heavy"),
        ("", "its first line is not frame,kind,other"),
        ("frame,kind,other\na.jpg,clean\n", "not enough values"),
        ("frame,kind,other\na.jpg,passer-by,him\n", "'him'"),
        ("frame,kind,other\nb.jpg,clean,\n", r"occlusion.txt does not name 'b\.jpg'"),
        ("frame,kind,other\n", r"it does not name a\.jpg"),
        (f'frame,kind,other\n"{"a" * 150_000}', "damaged .field larger than field limit"),
    ],
)
def test_a_missing_or_damaged_list_of_frames_is_named(tmp_path, text, words):
    (tmp_path / "info").mkdir()
    (tmp_path / "info" / "occlusion.txt").write_text("a.jpg 0.00\n")
    if text is not None:
        (tmp_path / "info" / "frames.csv").write_text(text)
    with pytest.raises(DataError, match=words):
        read_frames(tmp_path)
