"""The ablation's parts that could be wrong without a crash: figures, resuming, tables."""

import json
import sys
from pathlib import Path

import pytest
import torch

from nr3d.config import as_mapping, leaves
from nr3d.data import ClipTransform
from nr3d.models import ClipFeatures, VideoReID
from nr3d.synthetic import read_occlusion, write_mars

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"


@pytest.fixture
def ablation(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import ablation

    yield ablation
    for name in ("ablation", "ablation_report", "reporting"):
        sys.modules.pop(name, None)


class ByOrder(torch.nn.Module):
    """Gives the frames of any clip the same weights, in order."""

    def __init__(self, *weights):
        super().__init__()
        self.weights = torch.tensor(weights)

    def forward(self, maps):
        weights = self.weights.expand(len(maps), -1)
        return ClipFeatures(maps.mean((1, 3, 4)), weights, weights)


def network(*weights):
    model = VideoReID(18, 4, aggregation="mean")
    model.aggregation = ByOrder(*weights)
    return model.eval()


def test_attention_is_compared_within_clips_that_hold_both_kinds(ablation, tmp_path):
    write_mars(tmp_path, 4, 0, cameras=2, tracklets_per_camera=1, frames=(4, 4))
    names = list(read_occlusion(tmp_path / "mars"))
    paths = {path.name: str(path) for path in (tmp_path / "mars").rglob("*.jpg")}
    tracklets = [(tuple(paths[n] for n in names[i : i + 4]), 0, 0, 0) for i in (0, 4, 8)]
    # occluded, between the two, clean, clean; occluded and clean; a clip without an occluded frame
    shares = [0.3, 0.1, 0.01, 0.0, 0.9, 0.0, 0.9, 0.9, 0.0, 0.1, 0.29, 0.0]
    hidden = dict(zip(names[:12], shares, strict=True))
    transform = ClipTransform(64, 32)
    found = ablation.attention_on_occlusion(
        network(0.1, 0.2, 0.3, 0.4), tracklets, hidden, transform, 4
    )
    occluded, clean = (0.1 + (0.1 + 0.3 + 0.4) / 3) / 2, ((0.3 + 0.4) / 2 + 0.2) / 2
    assert found["clips"] == 2
    assert found["occluded"] == pytest.approx(occluded)
    assert found["clean"] == pytest.approx(clean)
    assert found["ratio"] == pytest.approx(occluded / clean)
    assert (found["largest"], found["flat"]) == (pytest.approx(0.4), 0.0)
    even = ablation.attention_on_occlusion(network(*[0.25] * 4), tracklets, hidden, transform, 4)
    assert (even["ratio"], even["largest"], even["flat"]) == (1.0, 0.25, 1.0)


@pytest.mark.parametrize(
    ("variant", "changed"),
    [
        ("full", {}),
        ("mean", {"not3d.aggregation": "mean"}),
        ("no_erasing_attention", {"not3d.erasing_attention_weight": 0.0}),
        ("no_center", {"not3d.center_weight": 0.0}),
        ("triplet", {"not3d.metric_loss": "triplet"}),
        ("no_ibn", {"model.name": "nr3d_resnet18"}),
    ],
)
def test_a_variant_differs_from_the_full_recipe_by_its_part_alone(ablation, variant, changed):
    def flat(variant):
        cfg = ablation.configuration(variant, 3, 9, Path("data"), Path("log"))
        return dict(leaves(as_mapping(cfg)))

    full, own = flat("full"), flat(variant)
    assert {key: own[key] for key in full if own[key] != full[key]} == changed
    assert "random_erase" in own["data.transforms"]
    assert (own["train.max_epoch"], own["train.stepsize"], own["train.seed"]) == (9, [6, 8], 3)


def test_runs_are_read_again_without_the_one_that_was_cut_off(ablation, tmp_path):
    settings = {"identities": 8}
    path = tmp_path / "out.jsonl"
    assert ablation.read_runs(path, settings) == []
    done = {"variant": "full", "seed": 0, "settings": settings}
    path.write_text(json.dumps(done) + '\n{"variant": "me')
    assert ablation.read_runs(path, settings) == [done]
    assert path.read_text() == json.dumps(done) + "\n"
    with pytest.raises(SystemExit, match=r"'identities': 8\} instead of \{'identities': 9\}"):
        ablation.read_runs(path, {"identities": 9})


def test_tables_pair_the_seeds(ablation):
    def run(variant, seed, rank1):
        attention = {"ratio": 0.5, "largest": 0.4, "flat": 0.0, "clips": 10}
        figures = {"rank-1": rank1, "mAP": rank1 / 2, "attention": attention}
        return {"variant": variant, "seed": seed, **figures}

    runs = [run("full", 0, 0.8), run("full", 1, 0.6), run("mean", 0, 0.7), run("mean", 1, 0.5)]
    lines = ablation.tables(runs, {"full": "whole", "mean": "averaged"}).splitlines()
    assert "| whole | 70.0 ± 14.1 | 35.0 ± 7.1 |  |  | 2 |" in lines
    assert "| averaged | 60.0 ± 14.1 | 30.0 ± 7.1 | -10.0 ± 0.0 | -5.0 ± 0.0 | 2 |" in lines
    assert "| averaged | 0.500 ± 0.000 | 0.400 ± 0.000 | 0.0 ± 0.0 | 10 |" in lines
