"""From images whose names say whom they show to figures, as a user goes there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from nr3d.cli import main
from nr3d.config import Command, read_yaml
from nr3d.data.converted.index import INDEX
from tests.conftest import market_names, used, write_images

Output = pytest.CaptureFixture[str]

NO_VIDEO = "figures on them do not compare with those on MARS or another dataset of video"


@pytest.fixture
def base(tmp_path: Path, own_datasets: dict[str, object], monkeypatch: pytest.MonkeyPatch) -> Path:
    """Four people to train on and three others to test on, as the working folder."""
    write_images(tmp_path / "people", market_names(range(2, 6), images=2))
    write_images(tmp_path / "others", market_names(range(6, 9), images=2))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_what_convert_says_of_images(base: Path, capsys: Output) -> None:
    write_images(base / "people", ["0002_c4s1_000001_01.jpg", "0009_c1s1_000001_01.jpg"])
    write_images(base / "people", ["0010_c1s1_000001_01.jpg", "0010_c1s1_000002_01.jpg"])
    write_images(base / "people", ["-1_c1s1_000001_01.jpg", "portrait.jpg"])
    words = ["data", "convert", "people", "--pattern", "market1501", "--min-frames", "2"]
    assert main(words) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert out.splitlines() == [
        f"{base / 'people' / INDEX}: 2 identities to train (6 pseudo-tracklets), 2 others to test "
        "(2 query and 4 gallery pseudo-tracklets), 3 cameras, 24 frames",
        "Pseudo-tracklets, single images of one person in one camera, put together in the order "
        f"of time: {NO_VIDEO}.",
        "Left out: 2 tracklets of fewer than 2 frames, the only ones of 1 person.",
        "Left out: 1 person who would be under one camera only.",
        "Left out: 1 image that the pattern marks as junk.",
        "Left out: 1 image of other names: portrait.jpg.",
        f"Check it:    nr3d data check people --root {base}",
        f'Train on it: nr3d train --config synthetic --root {base} data.sources "[people]" '
        'data.targets "[people]" train.batch_size 8',
    ]
    assert main(["data", "check", "people", "--root", "."]) == 0
    write_images(base / "people", ["0000_c1s1_000001_01.jpg"])
    capsys.readouterr()
    assert main(["data", "convert", "people", "--pattern", "market1501", "--replace"]) == 0
    assert "Distractors: 1 image of nobody in particular, each a" in capsys.readouterr().out


SMALL = [
    *("data.height", "32", "data.width", "16", "train.max_epoch", "1", "train.batch_size", "4"),
    *("sampler.num_instances", "2", "video.seq_len", "2", "data.workers", "0"),
    *("train.precision", "float32", "test.precision", "float32"),
]


def run(command: Command, *words: str) -> int:
    return main([command.name.lower(), "--config", "synthetic", "--root", ".", *words])


def test_sets_for_one_purpose_train_test_and_say_what_they_are(
    base: Path, capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    convert = ["data", "convert", "--pattern", "market1501"]
    assert main([*convert, "people", "--train-only"]) == 0
    assert "4 identities to train (12 pseudo-tracklets), 3 cameras" in capsys.readouterr().out
    assert main([*convert, "others", "--test-only"]) == 0
    assert "3 identities to test (3 query and 6 gallery" in capsys.readouterr().out
    apart = ["data.sources", "[people]", "data.targets", "[others]"]
    log = ["data.save_dir", "log"]
    assert run(Command.TRAIN, *SMALL, *apart, *log) == 0
    out, err = capsys.readouterr()
    assert "\nothers: pseudo-tracklets, single images of one person in one camera, put" in out
    assert f"; {NO_VIDEO}\n" in out
    assert "people trains on pseudo-tracklets" in err
    result: dict[str, Any] = json.loads(Path("log/result.json").read_text())
    assert result["results"]["others"]["tracklets"] == "pseudo-tracklets"

    assert main(["table", "log"]) == 0
    assert ", pseudo-tracklets |" in capsys.readouterr().out
    weights = ["--weights", "log/model-best.pth.tar"]
    tested = [*used(Command.TEST, [*SMALL, *apart]), "--json", "test.json"]
    assert run(Command.TEST, *weights, *tested) == 0
    found = json.loads(Path("test.json").read_text())["results"]["others"]
    assert found["tracklets"] == "pseudo-tracklets"
    assert found["mAP"] == pytest.approx(result["results"]["others"]["mAP"])

    name = "nr3d_resnet18_ibn.people"
    assert main(["weights", "export", weights[1], "--name", name, "--out", "published"]) == 0
    (metric,) = read_yaml(Path(f"published/{name}.yaml"))[name]["metrics"]
    assert (metric["dataset"], metric["tracklets"]) == ("others", "pseudo-tracklets")
    card = Path(f"published/{name}.md").read_text()
    assert "| others (pseudo-tracklets) | torchreid | measured |" in card
    assert f"{NO_VIDEO}.\n" in card
    monkeypatch.setenv("NR3D_WEIGHTS_INDEX", str(base / "weights.yaml"))
    source = f"published/{name}.safetensors"
    assert main(["weights", "add", f"published/{name}.yaml", "--source", source]) == 0
    capsys.readouterr()
    assert main(["weights", "list"]) == 0
    assert "(others, torchreid, measured, pseudo-tracklets)" in capsys.readouterr().out

    store = ["--out", "features.h5", *used(Command.EXTRACT, [*SMALL, *apart])]
    assert run(Command.EXTRACT, *weights, *store) == 0
    capsys.readouterr()
    assert main(["test", "--features", "features.h5", "--json", "store.json"]) == 0
    out = capsys.readouterr().out
    assert NO_VIDEO in out
    found = json.loads(Path("store.json").read_text())["results"]["others"]
    assert found["tracklets"] == "pseudo-tracklets"

    store = ["--out", "people.h5", *used(Command.EXTRACT, [*SMALL, "data.targets", "[people]"])]
    assert run(Command.EXTRACT, *weights, *store) == 0
    assert "people.h5 holds 12 train tracklets" in capsys.readouterr().out
    assert main(["test", "--features", "people.h5"]) == 2
    assert "people.h5 has no query tracklet, since people has none" in capsys.readouterr().err

    swapped = ["data.sources", "[others]", "data.targets", "[people]", "data.save_dir", "log2"]
    assert run(Command.TRAIN, *SMALL, *swapped) == 2
    assert "others has no training tracklet, since it was made for" in capsys.readouterr().err
    assert run(Command.TEST, *weights, *used(Command.TEST, [*SMALL, *swapped])) == 2
    err = capsys.readouterr().err
    assert "people has no query tracklet to test" in err
    assert "made for training only" in err
