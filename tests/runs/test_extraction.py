"""``nr3d extract``, and ``nr3d test`` from what it wrote."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import nr3d
from nr3d.cli import main
from nr3d.features import FeatureStore, FeatureWriter
from nr3d.features.store.contents import reading
from nr3d.runs.building import build_model
from tests.conftest import write_mars
from tests.engine.test_processes import ENVIRONMENT, TWO
from tests.features.store.test_store import content, names_in
from tests.features.store.version_1 import as_version_1
from tests.runs.killed_extraction import MOMENTS

SMALL = [
    *("model.name", "nr3d_resnet18_ibn", "model.aggregation", "attention"),
    *("not3d.attention", "paper"),
    *("data.height", "32", "data.width", "16", "data.workers", "0", "video.seq_len", "2"),
    *("test.batch_size", "7", "test.precision", "float32"),
]


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "model.pth"
    model = nr3d.models.VideoReID(18, 8)
    torch.save(model.state_dict(), path)
    return path


def words(root: Path, weights: Path, *more: str | Path) -> list[str]:
    options = ["--config", "synthetic", "--root", root, "--weights", weights, *SMALL, *more]
    return [str(word) for word in options]


def extract(root: Path, weights: Path, out: Path, *more: str | Path) -> int:
    return main(["extract", *words(root, weights, "--out", out, *more)])


@pytest.fixture(scope="module")
def store(mars_root: Path, weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("store") / "features.h5"
    assert extract(mars_root, weights, out) == 0
    return out


def test_a_store_holds_every_tracklet(store: Path, mars_root: Path, weights: Path) -> None:
    found = FeatureStore(store)
    assert found.complete
    assert found.counts == {"train": 32, "query": 8, "gallery": 8}
    data = nr3d.data.ClipDataManager(root=mars_root, sources="mars", batch_size_train=4)
    query, _ = data.fetch_test_loaders("mars")
    features = found.load("query")
    assert features.labels.pids.tolist() == [pid for _, pid, _, _ in query]
    assert features.labels.camids.tolist() == [camid for _, _, camid, _ in query]
    assert features.names[0] == "0002/0002C1T0001F001.jpg"
    train = found.load("train")
    assert train.labels.pids.tolist() == [pid for _, pid, _, _ in data.train_tracklets]
    assert set(train.frames.tolist()) == {5}
    for shares in found.frame_weights("gallery"):
        # frames 0 1, 2 3, 4 4
        np.testing.assert_allclose(
            [shares[:2].sum(), shares[2:4].sum(), shares[4]], [1, 1, 1], rtol=1e-5
        )
    assert found.origin.settings["height"] == 32
    assert found.origin.settings["precision"] == "float32"
    assert found.origin.weights == str(weights)
    assert set(found.origin.versions) == {"nr3d", "torchreid", "torch", "torchvision", "python"}


def test_a_test_from_features_is_the_test_of_their_weights(
    store: Path,
    mars_root: Path,
    weights: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["test", "--features", str(store), "--json", str(tmp_path / "f.json")]) == 0
    printed = capsys.readouterr().out
    whole = words(mars_root, weights, "--json", tmp_path / "w.json")
    assert main(["test", *whole, "data.save_dir", str(tmp_path)]) == 0
    ours, theirs = (json.loads((tmp_path / name).read_text()) for name in ("f.json", "w.json"))
    for content_ in (ours, theirs):
        protocols = content_["results"]["mars"]["protocols"]
        assert list(protocols) == ["torchreid", "mars-official", "ap3d"]
        for each in protocols.values():
            del each["extract_seconds"], each["rank_seconds"]
            assert {"intervals", "by_length", "camera_pairs", "mINP"} <= each.keys()
    one, other = (c["results"]["mars"]["protocols"] for c in (ours, theirs))
    for protocol in one:
        assert one[protocol]["gallery"] == other[protocol]["gallery"]
        for figure in ("rank-1", "mAP", "mINP"):
            assert one[protocol][figure] == pytest.approx(other[protocol][figure], abs=1e-6)
    assert one["mars-official"]["gallery"] == 16
    assert "mars (torchreid)" in printed
    assert "mars (mars-official)" in printed
    counted = "8 of 8 queries counted, gallery of 16 tracklets, the queries among them"
    assert f"mars (ap3d): {counted}" in printed


def test_what_is_there_is_not_extracted_again(
    mars_root: Path,
    weights: Path,
    tmp_path: Path,
    store: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "f.h5"
    assert extract(mars_root, weights, out, "--split", "query") == 0
    capsys.readouterr()
    assert main(["test", "--features", str(out)]) == 2
    assert "f.h5 has no gallery: run the nr3d extract" in capsys.readouterr().err
    assert extract(mars_root, weights, out, "--split", "gallery,query") == 0
    printed = capsys.readouterr().out
    assert printed.startswith("8 tracklets of 40 frames extracted in ")
    assert "f.h5 holds 8 query, 8 gallery tracklets" in printed
    whole = content(store)
    assert content(out)["features"] == whole["features"][32:]


def part_of(store: Path, path: Path, rows: int) -> Path:
    """Write the first rows of a store, as an interrupted extraction of all splits left them."""
    with reading(store) as contents:
        everything, origin = list(contents.rows()), contents.header.origin
    with FeatureWriter(path, origin) as part:
        for row in everything[:rows]:
            if row.key not in part.keys:
                part.append(row)
    return path


def test_a_split_that_is_whole_says_nothing_of_the_others(
    store: Path,
    mars_root: Path,
    weights: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = part_of(store, tmp_path / "f.h5", 32 + 6)
    capsys.readouterr()
    assert main(["test", "--features", str(out)]) == 2
    assert "has 6 of 8 query and 0 of 8 gallery tracklets: run the" in capsys.readouterr().err
    part_of(store, out, 32 + 8 + 5)
    assert extract(mars_root, weights, out, "--split", " query,query") == 0
    assert capsys.readouterr().out.startswith("0 tracklets of 0 frames")
    assert not FeatureStore(out).complete
    assert main(["test", "--features", str(out)]) == 2
    assert "f.h5 has 5 of 8 gallery tracklets: run the nr3d" in capsys.readouterr().err
    assert extract(mars_root, weights, out) == 0
    assert capsys.readouterr().out.startswith("3 tracklets of 15 frames")
    assert FeatureStore(out).complete
    assert main(["test", "--features", str(out)]) == 0
    same_but_for_batches(content(out), content(store))


def same_but_for_batches(found: dict[str, list[object]], whole: dict[str, list[object]]) -> None:
    """Compare two stores whose frames were cut into batches in other places."""
    for name in whole.keys() - {"crc32"}:
        if name in ("features", "frame_weights"):
            # On frames of one colour instance normalisation divides by next to nothing, and with
            # it grows what batches of another size round otherwise.
            np.testing.assert_allclose(found[name], whole[name], rtol=0, atol=1e-3)
        else:
            assert found[name] == whole[name], name


@pytest.mark.parametrize("leave_out", [0, 3])
def test_a_store_of_version_1_opens_and_is_completed_by_the_same_command(
    store: Path,
    mars_root: Path,
    weights: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    leave_out: int,
) -> None:
    # Also where it has not all that it says: one split was finished after all were begun.
    out = as_version_1(store, tmp_path / "f.h5", complete=True, leave_out=leave_out)
    old = FeatureStore(out)
    assert (old.version, old.counts["gallery"], old.complete) == (1, 8 - leave_out, False)
    assert torch.equal(old.load("query").features, FeatureStore(store).load("query").features)
    capsys.readouterr()
    assert main(["test", "--features", str(out)]) == 2
    told = capsys.readouterr().err
    assert "f.h5 was written by an older nr3d and does not say how many tracklets" in told
    assert "run the nr3d extract that made it once more" in told
    assert extract(mars_root, weights, out) == 0
    assert capsys.readouterr().out.startswith(f"{leave_out} tracklets of {5 * leave_out} frames")
    assert main(["test", "--features", str(out)]) == 0
    assert FeatureStore(out).version == 2
    same_but_for_batches(content(out), content(store))


def test_a_dataset_that_changed_is_refused(
    store: Path, own_mars_root: Path, weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = store.read_bytes()
    assert extract(own_mars_root, weights, store) == 2
    told = capsys.readouterr().err
    assert "train was 32, is now 16" in told
    assert "restore the dataset, or give another file" in told
    assert store.read_bytes() == before


def test_other_tracklets_in_the_places_of_those_extracted_are_refused(
    store: Path,
    mars_root: Path,
    weights: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with reading(store) as contents:
        rows, origin = list(contents.rows()), contents.header.origin
    with FeatureWriter(tmp_path / "f.h5", origin) as other:
        other.append(replace(rows[32], camid=5))
    assert extract(mars_root, weights, tmp_path / "f.h5") == 2
    assert (
        "f.h5 has query tracklet 0 as 0002/0002C1T0001F001.jpg of person 2, camera 5, and the "
        "dataset has 0002/0002C1T0001F001.jpg of person 2, camera 0 there now"
    ) in capsys.readouterr().err


def test_names_that_are_not_utf_8_come_back(
    prid_root: Path, weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    latin = os.fsdecode("n\xe4chste".encode("latin-1"))
    for frame in list((prid_root / "prid2011").rglob("*.png")):
        frame.rename(frame.with_name(f"{latin}{frame.name}"))
    out = tmp_path / "f.h5"
    prid = [
        *("data.targets", "['prid2011']"),
    ]
    done = extract(prid_root, weights, out, *prid)
    assert done == 0, capsys.readouterr().err
    assert FeatureStore(out).load("query").names[0] == f"person_0002/{latin}1.png"
    assert extract(prid_root, weights, out, *prid) == 0
    assert main(["test", "--features", str(out)]) == 0


def test_other_settings_are_refused(
    store: Path, mars_root: Path, weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = store.read_bytes()
    assert extract(mars_root, weights, store, "video.seq_len", "3") == 2
    assert "seq_len was 2, is now 3" in capsys.readouterr().err
    assert extract(mars_root, weights, store, "--dtype", "float16") == 2
    assert "dtype was 'float32', is now 'float16'" in capsys.readouterr().err
    assert store.read_bytes() == before


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (["data.combineall", "True"], "combineall was False, is now True"),
        (["data.split_id", "1"], "split_id was 0, is now 1"),
        (["not3d.attention", "live"], "attention was 'paper', is now 'live'"),
        (["not3d.test_sample_method", "evenly"], "sample_method was 'dense', is now 'evenly'"),
        (["video.pooling_method", "average"], "pooling_method is 'average', expected one of avg"),
        (["data.norm_mean", "[0.5]"], "data.norm_mean is [0.5], expected 3 numbers"),
        (["data.split_id", "-1"], "data.split_id is -1, expected 0 or more"),
    ],
)
def test_what_would_give_other_features_is_refused(
    change: list[str],
    told: str,
    store: Path,
    mars_root: Path,
    weights: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    before = store.read_bytes()
    assert extract(mars_root, weights, store, *change) == 2
    assert told in capsys.readouterr().err
    assert store.read_bytes() == before


def test_the_form_of_an_attention_that_is_not_there_changes_nothing(
    mars_root: Path, tmp_path: Path
) -> None:
    path, out = tmp_path / "mean.pth", tmp_path / "features.h5"
    torch.save(nr3d.models.VideoReID(18, 8, aggregation="mean").state_dict(), path)
    mean = ["model.aggregation", "mean"]
    assert extract(mars_root, path, out, *mean, "--split", "query") == 0
    assert extract(mars_root, path, out, *mean, "not3d.attention", "live") == 0
    assert FeatureStore(out).complete
    assert FeatureStore(out).origin.settings["attention"] == "paper"


def test_a_store_of_an_earlier_version_is_bound_by_its_configuration(
    store: Path,
    mars_root: Path,
    weights: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with FeatureWriter(store, FeatureStore(store).origin) as writer:
        rows = list(writer.rows)

    def older(*changes: tuple[str, str, object]) -> Path:
        """Make a store that does not say whether all was combined, with other values."""
        origin = FeatureStore(store).origin
        settings = {key: v for key, v in origin.settings.items() if key != "combineall"}
        config = json.loads(json.dumps(origin.config))
        for section, name, value in changes:
            config[section][name] = value
        path = tmp_path / f"{len(list(tmp_path.iterdir()))}.h5"
        with FeatureWriter(path, replace(origin, settings=settings, config=config)) as writer:
            for row in rows:
                writer.append(row)
            writer.finish()
        return path

    plain = older(("train", "seed", -1), ("train", "of_old", 3))  # neither matters here
    assert extract(mars_root, weights, plain) == 0
    assert main(["test", "--features", str(plain)]) == 0
    assert extract(mars_root, weights, plain, "data.combineall", "True") == 2
    assert "combineall was False, is now True" in capsys.readouterr().err
    combined = older(("data", "combineall", True))
    assert extract(mars_root, weights, combined) == 2
    assert "combineall was True, is now False" in capsys.readouterr().err
    assert main(["test", "--features", str(older(("video", "pooling_method", "average")))]) == 2
    assert "video.pooling_method is 'average'" in capsys.readouterr().err


def test_a_run_to_go_on_with_does_not_count_in_a_test(
    mars_root: Path, weights: Path, tmp_path: Path
) -> None:
    """A file of a user's may name one; the weights are loaded all the same."""
    file = tmp_path / "mine.yaml"
    file.write_text("base: synthetic\nmodel: {resume: log/model-last.pth.tar}\n")
    cfg = nr3d.config.load_config(file, [*SMALL, "model.load_weights", str(weights)])
    model = build_model(cfg, 8, training=False)
    assert torch.equal(model.backbone.conv1.weight, torch.load(weights)["backbone.conv1.weight"])


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["test"], "give --config and --weights, or --features"),
        (["test", "--features", "STORE", "--weights", "x"], "leave out --config"),
        (["test", "--features", "nowhere.h5"], "There is no feature store nowhere.h5"),
        (["test", "--features", "STORE", "test.protocol", "mine"], "test.protocol is 'mine'"),
        (["test", "--features", "STORE", "test.rank", "3"], "Unknown key 'test.rank'"),
        (["test", "--features", "STORE", "test.dist_metric", "l1"], "test.dist_metric is 'l1'"),
    ],
)
def test_bad_arguments_say_what_to_do(
    store: Path, arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(store) if word == "STORE" else word for word in arguments]) == 2
    error = capsys.readouterr().err
    assert told in error
    assert error.count("\n") == 1


def test_one_store_takes_one_dataset(
    mars_root: Path, weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    two = ["data.targets", "['mars', 'prid2011']"]
    assert extract(mars_root, weights, tmp_path / "f.h5", *two) == 2
    assert "expected one dataset" in capsys.readouterr().err
    assert not (tmp_path / "f.h5").exists()


def test_options_of_a_test_count_from_features(store: Path, tmp_path: Path) -> None:
    def figures(*changes: str) -> dict[str, object]:
        out = tmp_path / "out.json"
        assert main(["test", "--features", str(store), "--json", str(out), *changes]) == 0
        found: dict[str, object] = json.loads(out.read_text())["results"]["mars"]
        return found

    official = figures("test.protocol", "mars-official")
    assert (official["protocol"], official["gallery"]) == ("mars-official", 16)
    steps = figures("test.protocol", "ap3d")
    assert (steps["protocol"], steps["gallery"]) == ("ap3d", 16)
    theirs = figures("test.evaluator", "torchreid")
    assert list(theirs["protocols"]) == ["torchreid"]  # type: ignore[call-overload]
    plain = figures()
    assert theirs["mAP"] == pytest.approx(plain["mAP"], abs=1e-6)
    assert figures("test.rerank", "True")["rank-1"] == 1
    assert figures("test.distractors", "drop")["distractors_dropped"] is True


@pytest.fixture
def odd_root(tmp_path: Path) -> Path:
    """Tracklets of one frame each, but for the last person's."""
    write_mars(tmp_path / "odd", (1, 3), (2, 4), frames=1)
    return tmp_path / "odd"


def test_a_tracklet_of_one_frame_is_one_clip(odd_root: Path, weights: Path, tmp_path: Path) -> None:
    assert extract(odd_root, weights, tmp_path / "f.h5") == 0
    query = FeatureStore(tmp_path / "f.h5").load("query")
    assert query.frames.tolist() == [1] * 4
    assert query.clips.tolist() == [1] * 4
    assert all(w.tolist() == [1] for w in FeatureStore(tmp_path / "f.h5").frame_weights("query"))


def test_a_truncated_frame_in_the_middle_keeps_what_came_before(
    own_mars_root: Path, weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = own_mars_root / "mars" / "bbox_test" / "0004" / "0004C1T0002F003.jpg"
    bad.write_bytes(bad.read_bytes()[:300])
    out = tmp_path / "f.h5"
    assert extract(own_mars_root, weights, out, "--split", "query,gallery") == 2
    assert f"Frame {bad} of tracklet" in capsys.readouterr().err
    kept = FeatureStore(out)
    assert kept.counts["query"] == 4
    assert not kept.complete
    assert main(["test", "--features", str(out)]) == 2
    assert "nr3d extract that makes it" in capsys.readouterr().err
    # Settings of another run are told from the one that was stopped.
    skip = ["--split", "query,gallery", "data.bad_frames", "skip"]
    assert extract(own_mars_root, weights, out, *skip) == 2
    assert "bad_frames was 'error', is now 'skip'" in capsys.readouterr().err
    assert extract(own_mars_root, weights, tmp_path / "skip.h5", *skip) == 0
    assert "1 unreadable frames were left out" in capsys.readouterr().out
    gallery = FeatureStore(tmp_path / "skip.h5").load("gallery")
    assert sorted(gallery.frames.tolist()) == [4, 5, 5, 5]
    # Also by a run that found all there; and what can be read since is not passed over.
    assert extract(own_mars_root, weights, tmp_path / "skip.h5", *skip) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("0 tracklets")
    assert f"1 unreadable frames were left out:\n  {bad}\n" in printed
    shutil.copy(bad.with_name("0004C1T0002F002.jpg"), bad)
    assert extract(own_mars_root, weights, tmp_path / "skip.h5", *skip) == 2
    assert "of 4 frames, and 5 of them can be read now" in capsys.readouterr().err


def test_features_that_are_not_finite_are_told(
    own_mars_root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = nr3d.models.VideoReID(18, 8)
    model.bottleneck.weight.data[:] = 3e38  # finite, and not so times anything above 1.2
    model.bottleneck.running_var[:] = 1e-30
    torch.save(model.state_dict(), tmp_path / "huge.pth")
    assert extract(own_mars_root, tmp_path / "huge.pth", tmp_path / "f.h5") == 2
    assert "is not finite in float32: the network has diverged" in capsys.readouterr().err
    assert FeatureStore(tmp_path / "f.h5").counts == {}


def test_a_folder_that_cannot_be_written_is_told_first(
    mars_root: Path, weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    assert extract(mars_root, weights, tmp_path / "file" / "f.h5") == 2
    assert "f.h5 cannot be written" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words_", "told"),
    [
        (["--split", "query,probe"], "the splits are ['query', 'probe'], expected some of train"),
        (["--split", " , "], "the splits are [], expected some of train, query, gallery"),
        (["--out", "FOLDER"], "is a folder, expected a file to write features into"),
    ],
)
def test_what_cannot_be_extracted_is_told_before_anything_is_made(
    weights: Path,
    tmp_path: Path,
    words_: list[str],
    told: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    more = [str(tmp_path) if word == "FOLDER" else word for word in words_]
    assert extract(tmp_path / "nowhere", weights, tmp_path / "f.h5", *more) == 2
    error = capsys.readouterr().err
    assert told in error
    assert error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module")
def killed(mars_root: Path, weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("killed")
    script = Path(__file__).with_name("killed_extraction.py")
    arguments = words(mars_root, weights, "--split", "query,gallery")
    environment = ENVIRONMENT | {"PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(
        [sys.executable, str(script), str(out), *arguments],
        capture_output=True,
        text=True,
        timeout=300,
        env=environment,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return out


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_killed_extraction_goes_on_where_it_stopped(killed: Path, moment: str) -> None:
    left = FeatureStore(killed / f"{moment}.left.h5")
    assert left.complete == (moment == "end")
    expected = {"first-batch": 0, "batch": 5, "write": 2, "end": 16}[moment]
    assert len(left.keys()) == expected
    same_but_for_batches(content(killed / f"{moment}.h5"), content(killed / "whole.h5"))


def test_two_processes_make_one_store_also_after_one_was_killed(
    mars_root: Path, weights: Path, tmp_path: Path, store: Path
) -> None:
    out = tmp_path / "made" / "two.h5"
    root = tmp_path / "data"
    shutil.copytree(mars_root, root)
    # One for each process, in the split that comes last.
    bad = [root / "mars/bbox_test/0002" / f"0002C{n}T0002F003.jpg" for n in (1, 2)]
    for frame in bad:
        frame.write_bytes(b"")
    skip = ["--out", out, "data.bad_frames", "skip"]
    arguments = [*TWO, "-m", "nr3d", "extract", *words(root, weights, *skip)]

    def start() -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, *arguments, "test.batch_size", "1"],
            env=ENVIRONMENT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    first = start()
    wait_for(lambda: any(out.parent.glob(".two.h5.part1")), first)
    os.killpg(first.pid, signal.SIGKILL)
    first.wait()
    assert not FeatureStore(out).complete
    second = start()
    printed, _ = second.communicate(timeout=300)
    assert second.returncode == 0, printed
    assert printed.count("two.h5 holds 32 train, 8 query, 8 gallery tracklets") == 1
    assert printed.count("2 unreadable frames were left out:") == 1
    assert all(printed.count(str(frame)) == 1 for frame in bad)
    assert names_in(out.parent) == ["two.h5"]
    whole, found = FeatureStore(store), FeatureStore(out)
    assert found.complete
    assert found.load("gallery").frames.tolist() == [4, 4, 5, 5, 5, 5, 5, 5]
    assert found.load("query").names == whole.load("query").names
    for split in ("train", "query"):
        np.testing.assert_allclose(
            found.load(split).features, whole.load(split).features, rtol=0, atol=1e-3
        )


def wait_for(there: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    for _ in range(3000):
        if there():
            return
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.02)
    raise AssertionError("it took a minute")
