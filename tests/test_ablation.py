"""The ablation's parts that could be wrong without a crash: figures, resuming, tables."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from nr3d.config import as_mapping, leaves
from nr3d.data import ClipDataManager, ClipTransform
from nr3d.models import ClipFeatures, VideoReID
from nr3d.synthetic import write_mars

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"


@pytest.fixture
def ablation(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import ablation

    yield ablation
    for name in ("ablation", "ablation_judging", "ablation_report", "reporting"):
        sys.modules.pop(name, None)


@pytest.fixture
def arguments(ablation, monkeypatch, tmp_path):
    def parse(*words):
        shared = ["ablation.py", "--machine", "any", "--out", str(tmp_path / "out")]
        monkeypatch.setattr(sys, "argv", [*shared, *words])
        return ablation.parse()

    return parse


class Row:
    def __init__(self, *frame_weights):
        self.frame_weights = np.array(frame_weights, np.float32)


def test_attention_is_compared_within_clips_that_hold_both_kinds(ablation):
    from ablation_judging import attention

    # occluded, between the two, clean, clean; occluded and clean; a clip without an occluded frame
    shares = [0.3, 0.1, 0.01, 0.0, 0.9, 0.0, 0.9, 0.9, 0.0, 0.1, 0.29, 0.0]
    hidden = {f"{number}.jpg": share for number, share in enumerate(shares)}
    tracklets = [(tuple(hidden)[start : start + 4], 0, 0, 0) for start in (0, 4, 8)]
    found = attention([Row(0.1, 0.2, 0.3, 0.4)] * 3, tracklets, hidden, 4)
    occluded, clean = (0.1 + (0.1 + 0.3 + 0.4) / 3) / 2, ((0.3 + 0.4) / 2 + 0.2) / 2
    assert found["clips"] == 2
    assert found["occluded"] == pytest.approx(occluded)
    assert found["clean"] == pytest.approx(clean)
    assert found["ratio"] == pytest.approx(occluded / clean)
    assert found["auc"] == pytest.approx((1 + 1 / 3) / 2)
    assert (found["largest"], found["flat"]) == (pytest.approx(0.4), 0.0)
    even = attention([Row(*[0.25] * 4)] * 3, tracklets, hidden, 4)
    assert (even["ratio"], even["auc"], even["largest"], even["flat"]) == (1.0, 0.5, 0.25, 1.0)


def test_the_oracle_leaves_out_occluded_frames_but_never_all(ablation):
    from ablation_judging import without_occluded

    hidden = {"a": 0.3, "b": 0.29, "c": 1.0}
    tracklets = [(("a", "b", "c"), 7, 1, 0), (("a", "c"), 8, 2, 0)]
    assert without_occluded(tracklets, hidden) == [(("b",), 7, 1, 0), (("a", "c"), 8, 2, 0)]


def test_the_same_frames_are_erased_for_every_network(ablation, tmp_path):
    from ablation_judging import ErasedTracklets, erased_part

    paths = tuple(str(tmp_path / f"{number}.png") for number in range(40))
    for path in paths:
        Image.new("RGB", (32, 64), "white").save(path)
    transform = ClipTransform(64, 32)
    tracklets = ErasedTracklets([(paths, 0, 0, 0)], transform)
    erased = 0
    for position, path in enumerate(paths):
        pixels = tracklets.pixels(0, position, [])
        rectangle = erased_part(path, transform)
        if rectangle is None:
            assert (pixels == 255).all()
            continue
        erased += 1
        assert 0.01 < rectangle.mean() < 0.45
        assert (pixels[~rectangle] == 255).all()
        normalised = transform.normalise(torch.from_numpy(pixels)[None])[0]
        assert normalised[:, torch.from_numpy(rectangle)].abs().max() < 0.01
    assert 10 < erased < 30
    again = erased_part(str(tmp_path / "elsewhere" / "7.png"), transform)
    assert np.array_equal(again, erased_part(paths[7], transform))


class ByBrightness(torch.nn.Module):
    """Weighs the frames of a clip by the mean of their maps."""

    def forward(self, maps):
        pooled = maps.mean((3, 4))
        weights = pooled.mean(2).softmax(1)
        return ClipFeatures(torch.einsum("bt,btc->bc", weights, pooled), weights, weights)


def test_a_trained_network_is_judged_whole(ablation, tmp_path):
    from ablation_judging import judge

    write_mars(tmp_path, 16, 0, cameras=2, tracklets_per_camera=1, frames=(4, 4))
    torch.manual_seed(0)
    data = ClipDataManager(
        str(tmp_path), "mars", height=64, width=32, batch_size_train=8, workers=0
    )
    query, gallery = data.fetch_test_loaders("mars")
    model = VideoReID(18, 4, aggregation="mean").eval()
    model.aggregation = ByBrightness()
    paths = [path for paths, *_ in (*query, *gallery) for path in paths]
    hidden = {path: float(number % 2) for number, path in enumerate(paths)}
    found = judge(model, query, gallery, ClipTransform(64, 32), 4, hidden)
    assert 0 <= found["mAP"] <= 1 and found["oracle"].keys() == {"rank-1", "mAP"}
    assert found["attention"]["clips"] == len(query) + len(gallery)
    assert found["erased"] != {"rank-1": found["rank-1"], "mAP": found["mAP"]}
    # a frame that is erased to the mean colour has another weight
    assert found["attention_erased"]["ratio"] != 1.0
    assert "oracle" not in judge(model, query, gallery, ClipTransform(64, 32), 4)


@pytest.mark.parametrize(
    ("variant", "changed"),
    [
        ("live", {}),
        ("paper", {"not3d.attention": "paper"}),
        ("mean", {"not3d.attention": "paper", "model.aggregation": "mean"}),
        ("no_erasing_attention", {"not3d.erasing_attention_weight": 0.0}),
        ("no_center", {"not3d.center_weight": 0.0}),
        ("triplet", {"not3d.metric_loss": "triplet"}),
        ("no_ibn", {"model.name": "nr3d_resnet18"}),
        ("rate_0.001", {"not3d.attention_lr_mult": 0.001}),
        ("rate_0.1", {"not3d.attention_lr_mult": 0.1}),
        ("kaiming", {"not3d.attention_init": "kaiming"}),
    ],
)
def test_a_variant_differs_from_the_full_recipe_by_its_part_alone(
    ablation, arguments, variant, changed
):
    def flat(variant):
        cfg = ablation.configuration(variant, 3, arguments("--epochs", "9"))
        return dict(leaves(as_mapping(cfg)))

    full, own = flat("live"), flat(variant)
    differing = {key: own[key] for key in full if own[key] != full[key]}
    assert differing.pop("data.save_dir", "").endswith("" if not changed else f"{variant}-seed3")
    assert differing == changed
    assert "random_erase" in own["data.transforms"]
    assert (own["train.max_epoch"], own["train.stepsize"], own["train.seed"]) == (9, [6, 8], 3)


def test_the_tracklets_of_a_converted_dataset_take_the_place_of_drawn_ones(
    ablation, arguments, tmp_path
):
    args = arguments("--people", str(tmp_path / "market"), "--height", "128", "--batch-size", "64")
    cfg = ablation.configuration("mean", 0, args)
    assert (cfg.data.root, cfg.data.sources, cfg.data.targets) == (
        str(tmp_path),
        ["market"],
        ["market"],
    )
    assert (cfg.data.height, cfg.data.width, cfg.train.batch_size) == (128, 64, 64)
    assert ablation.settings_of(args)["people"] == "market"
    assert "identities" not in ablation.settings_of(args)


def test_runs_are_read_again_without_the_one_that_was_cut_off(ablation, tmp_path):
    settings = {"identities": 8}
    path = tmp_path / "out.jsonl"
    assert ablation.read_runs(path, settings) == []
    done = {"variant": "live", "seed": 0, "settings": settings}
    path.write_text(json.dumps(done) + '\n{"variant": "me')
    assert ablation.read_runs(path, settings) == [done]
    assert path.read_text() == json.dumps(done) + "\n"
    with pytest.raises(SystemExit, match=r"'identities': 8\} instead of \{'identities': 9\}"):
        ablation.read_runs(path, {"identities": 9})


def test_a_report_needs_a_run(ablation, arguments):
    arguments("--report")
    with pytest.raises(SystemExit, match=r"out.jsonl has no completed run to report"):
        ablation.main()


def test_tables_pair_the_seeds(ablation):
    def run(variant, seed, rank1):
        attention = {"ratio": 0.5, "auc": 0.75, "largest": 0.4, "flat": 0.0, "clips": 10}
        figures = {"rank-1": rank1, "mAP": rank1 / 2}
        found = {"attention": attention, "attention_erased": {**attention, "ratio": 0.25}}
        better = {"rank-1": rank1 + 0.1, "mAP": rank1}
        found |= {"erased": {"rank-1": rank1 / 2, "mAP": rank1 / 4}, "oracle": better}
        return {"variant": variant, "seed": seed, **figures, **found}

    runs = [run("live", 0, 0.8), run("live", 1, 0.6), run("mean", 0, 0.7), run("mean", 1, 0.5)]
    names = {"live": "whole", "mean": "averaged"}
    lines = ablation.tables(runs, names).splitlines()
    erased = "35.0 ± 7.1 | 17.5 ± 3.5"
    assert f"| whole | 70.0 ± 14.1 | 35.0 ± 7.1 | {erased} |  |  | 2 |" in lines
    erased = "30.0 ± 7.1 | 15.0 ± 3.5"
    gaps = "-10.0 ± 0.0 | -5.0 ± 0.0"
    assert f"| averaged | 60.0 ± 14.1 | 30.0 ± 7.1 | {erased} | {gaps} | 2 |" in lines
    rest = "0.75 ± 0.00 | 0.40 ± 0.00 | 0.0 ± 0.0 | 10 |"
    assert f"| averaged | 0.50 ± 0.00 | {rest}" in lines
    assert f"| averaged | 0.25 ± 0.00 | {rest}" in lines
    assert "| averaged | 70.0 ± 14.1 | 60.0 ± 14.1 | +10.0 ± 0.0 |" in lines
    for each in runs:
        del each["oracle"], each["attention"]
    assert "oracle" not in ablation.tables(runs, names)
