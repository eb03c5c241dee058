"""``nr3d synthesize`` in each layout, and training on what it drew."""

import json

import pytest

from nr3d.cli import main
from nr3d.synthetic import read_frames

TINY = [
    *("train.max_epoch", "1", "train.batch_size", "4", "sampler.num_instances", "2"),
    *("data.height", "32", "data.width", "16", "video.seq_len", "2"),
    *("model.aggregation", "mean"),  # half the parameters to write to the disk
]


@pytest.mark.parametrize(("name", "folder"), [("prid2011", "prid2011"), ("ilidsvid", "ilids-vid")])
def test_a_drawn_dataset_trains_and_tests_by_the_command_that_is_told(
    tmp_path, capsys, name, folder
):
    words = ["synthesize", "--dataset", name, "--out", str(tmp_path), "--identities", "5"]
    assert main([*words, "--seed", "2", "--occluded", "0.5", "--camera-shift", "1.5"]) == 0
    told, train = capsys.readouterr().out.splitlines()
    assert "3 people to train" in told
    assert train.startswith("Train on it: nr3d train --config synthetic --root")
    stamp = json.loads((tmp_path / folder / "info" / "synthetic.json").read_text())
    assert stamp["settings"]["seed"] == 2
    assert (stamp["settings"]["occluded"], stamp["settings"]["camera_shift"]) == (0.5, 1.5)
    report = tmp_path / "train.json"
    options = ["--json", str(report), *TINY, "data.save_dir", str(tmp_path / "log")]
    options += ["data.split_id", "7"]
    assert main([*train.removeprefix("Train on it: nr3d ").split(), *options]) == 0
    result = json.loads(report.read_text())["results"][name]
    assert (result["query"], result["gallery"]) == (2, 2)


def test_heavy_occlusion_is_drawn_with_the_truth_of_each_frame(tmp_path, capsys):
    words = ["synthesize", "--out", str(tmp_path), "--identities", "4", "--occlusion"]
    assert main([*words, "heavy", "--occluded", "0.8"]) == 0
    assert "2 people to train" in capsys.readouterr().out
    stamp = json.loads((tmp_path / "mars" / "info" / "synthetic.json").read_text())
    assert (stamp["settings"]["occlusion"], stamp["settings"]["occluded"]) == ("heavy", 0.8)
    truths = read_frames(tmp_path / "mars")
    assert len(truths) == stamp["counts"]["frames"]
    assert 0.2 < sum(truth.kind != "clean" for truth in truths.values()) / len(truths) < 0.6
    assert main([*words, "usual"]) == 2
    err = capsys.readouterr().err
    assert "occluded 0.8 instead of 0.2, occlusion 'heavy' instead of 'usual'" in err


def test_help_explains_the_kinds_of_occlusion(capsys):
    with pytest.raises(SystemExit) as caught:
        main(["synthesize", "--help"])
    assert caught.value.code == 0
    told = " ".join(capsys.readouterr().out.split())
    assert "--occlusion {usual,heavy}" in told
    assert "info/frames.csv" in told
    assert "(default: 0.2 if usual, 0.9 if heavy)" in told


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--identities", "3"], "identities is 3, expected 4 to 9999"),
        (["--occluded", "2"], "occluded is 2.0, expected 0.0 to 1.0"),
        (["--camera-shift", "-1"], "camera_shift is -1.0, expected 0.0 to 4.0"),
    ],
)
def test_bad_values_are_one_line_and_status_2(tmp_path, capsys, words, message):
    assert main(["synthesize", "--out", str(tmp_path / "out"), *words]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert message in err
    assert not (tmp_path / "out").exists()


def test_an_unknown_layout_is_refused_with_the_choices(tmp_path, capsys):
    with pytest.raises(SystemExit) as caught:
        main(["synthesize", "--out", str(tmp_path), "--dataset", "market"])
    assert caught.value.code == 2
    assert "mars" in capsys.readouterr().err


def test_an_unknown_occlusion_is_refused_with_the_choices(tmp_path, capsys):
    with pytest.raises(SystemExit) as caught:
        main(["synthesize", "--out", str(tmp_path), "--occlusion", "light"])
    assert caught.value.code == 2
    assert "heavy" in capsys.readouterr().err
