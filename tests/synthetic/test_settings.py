"""The settings of synthetic datasets: occlusion, and differences between the cameras."""

from dataclasses import replace

import numpy as np
import pytest

from nr3d.errors import ConfigError, DataError
from nr3d.synthetic import read_occlusion, write_mars
from nr3d.synthetic.cameras import expose, sample_camera

SMALL = {"cameras": 2, "tracklets_per_camera": 4, "frames": (3, 3)}


def tracklets_of(shares):
    """Return the hidden fractions of each tracklet's frames."""
    found = {}
    for name, share in shares.items():
        found.setdefault(name.split("F")[0], []).append(share)
    return list(found.values())


def test_occluded_is_the_share_of_tracklets_that_something_passes(tmp_path):
    measured = {}
    for occluded in (0, 0.5, 1):
        root = tmp_path / str(occluded)
        write_mars(root, 5, 0, occluded=occluded, **SMALL)
        tracklets = tracklets_of(read_occlusion(root / "mars"))
        measured[occluded] = np.mean([max(shares) > 0 for shares in tracklets])
    assert measured[0] == 0
    # 42 tracklets; some occluders miss the person
    assert 0.3 < measured[0.5] < 0.7
    assert measured[1] > 0.85
    assert measured[1] > measured[0.5]


def colours(seed, shift):
    """Return the mean colour that each camera makes of the same scene in grey."""
    # light and dark greys, so that the tone curve and the haze matter
    ramp = np.linspace(0.1, 0.8, 64, dtype=np.float32)
    found = []
    for index in range(1, 7):
        camera = replace(sample_camera(seed, index, shift), noise=0.0, sharpness=0.7)
        height, width = camera.shape
        scene = np.broadcast_to(np.resize(ramp, width)[None, :, None], (height, width, 3))
        rng = np.random.default_rng(0)
        image = expose(scene.copy(), camera, np.ones(3, np.float32), 0.0, rng)
        found.append(image.mean(axis=(0, 1)))
    return np.array(found)


def test_camera_shift_sets_how_far_apart_the_colours_are():
    apart = {}
    for shift in (0.0, 1.0, 2.0):
        gaps = []
        for seed in range(3):
            means = colours(seed, shift)
            gaps += [np.abs(a - b).mean() for i, a in enumerate(means) for b in means[:i]]
        apart[shift] = np.mean(gaps)
    assert apart[0.0] < 0.1
    assert apart[1.0] > 8.0
    assert 1.5 < apart[2.0] / apart[1.0] < 2.5


@pytest.mark.parametrize("index", [1, 4])
def test_camera_shift_multiplies_each_deviation_and_nothing_else(index):
    base, doubled, none = (sample_camera(3, index, shift) for shift in (1.0, 2.0, 0.0))
    assert sample_camera(3, index).cast == base.cast
    for name, neutral in (("exposure", 1.0), ("gamma", 1.0), ("haze", 0.0)):
        deviation = getattr(base, name) - neutral
        assert getattr(doubled, name) - neutral == pytest.approx(2 * deviation)
        assert getattr(none, name) == pytest.approx(neutral)
    np.testing.assert_allclose(np.array(doubled.cast) - 1, 2 * (np.array(base.cast) - 1))
    np.testing.assert_allclose(none.cast, 1)
    colour = ("cast", "exposure", "gamma", "haze", "background")
    rest = [name for name in base.__dataclass_fields__ if name not in colour]
    assert [getattr(doubled, name) for name in rest] == [getattr(base, name) for name in rest]
    np.testing.assert_array_equal(doubled.background, base.background)


def test_settings_are_distinguished_and_defaults_leave_the_stamp_as_it_was(tmp_path):
    tiny = {"cameras": 2, "tracklets_per_camera": 1, "frames": (1, 1)}
    first = write_mars(tmp_path, 4, 1, **tiny)
    stamp = (tmp_path / "mars" / "info" / "synthetic.json").read_text()
    assert "occluded" not in stamp
    assert "camera_shift" not in stamp
    assert write_mars(tmp_path, 4, 1, occluded=0.2, camera_shift=1, **tiny) == first
    with pytest.raises(DataError, match=r"camera_shift 1.0 instead of 2.0"):
        write_mars(tmp_path, 4, 1, camera_shift=2.0, **tiny)
    other = tmp_path / "other"
    shifted = write_mars(other, 4, 1, camera_shift=2.0, occluded=0.9, **tiny)
    assert write_mars(other, 4, 1, camera_shift=2, occluded=0.9, **tiny) == shifted
    with pytest.raises(DataError, match=r"camera_shift 2.0 instead of 1.0, occluded 0.9"):
        write_mars(other, 4, 1, **tiny)


@pytest.mark.parametrize(
    ("setting", "value", "words"),
    [
        ("occluded", -0.1, "occluded is -0.1, expected 0.0 to 1.0"),
        ("occluded", 1.01, "occluded is 1.01, expected 0.0 to 1.0"),
        ("occluded", float("nan"), "occluded is nan, expected 0.0 to 1.0"),
        ("occluded", "much", "occluded must be a number, got 'much'"),
        ("camera_shift", -1, "camera_shift is -1.0, expected 0.0 to 4.0"),
        ("camera_shift", 4.5, "camera_shift is 4.5, expected 0.0 to 4.0"),
        ("camera_shift", True, "camera_shift must be a number, got True"),
    ],
)
def test_bad_values_are_named_with_their_range(tmp_path, setting, value, words):
    with pytest.raises(ConfigError, match=words):
        write_mars(tmp_path / "out", **{setting: value})
    assert not (tmp_path / "out").exists()


def test_a_missing_or_damaged_list_of_occlusions_is_named(tmp_path):
    with pytest.raises(DataError, match=r"There is no .*occlusion\.txt"):
        read_occlusion(tmp_path)
    (tmp_path / "info").mkdir()
    (tmp_path / "info" / "occlusion.txt").write_text("0001C1T0001F001.jpg much\n")
    with pytest.raises(DataError, match=r"occlusion\.txt is damaged"):
        read_occlusion(tmp_path)
