"""The benchmark on real people, run on drawn ones: its baselines, its network and its tables."""

import colorsys
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from nr3d.data import convert, evenly
from nr3d.engine.facts import facts_of
from nr3d.errors import DataError
from nr3d.host import torchreid
from nr3d.metrics import Labels, rank
from nr3d.weights import write_checkpoint

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"
MODULES = ("people", "people_baselines", "people_osnet", "people_report", "reporting")


@pytest.fixture
def people(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import people

    yield people
    for name in MODULES:
        sys.modules.pop(name, None)


def draw_people(folder, first, count, frames=3):
    """Draw people in clothes of their own colours under two cameras, named as Market-1501's."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(first)
    for pid in range(first, first + count):
        upper, lower = rng.integers(20, 236, (2, 3))
        for camera in (1, 2):
            for frame in range(frames):
                pixels = rng.integers(110, 130, (128, 64, 3))
                pixels[24:64, 16:48] = upper + rng.integers(-3, 4, (40, 32, 3))
                pixels[64:112, 16:48] = lower + rng.integers(-3, 4, (48, 32, 3))
                name = f"{pid:04d}_c{camera}s1_{25 * frame:06d}_01.png"
                Image.fromarray(pixels.astype(np.uint8)).save(folder / name)
    return folder


@pytest.fixture
def market(tmp_path):
    folder = draw_people(tmp_path / "market_people", 2, 12)
    convert(folder, pattern="market1501", min_frames=2, seed=1)
    return folder


@pytest.fixture
def others(tmp_path):
    folder = draw_people(tmp_path / "other_people", 1001, 5)
    convert(folder, pattern="market1501", by="sequence", purpose="test")
    return folder


@pytest.fixture
def checkpoint(tmp_path):
    """An untrained network as a training with frames of 64 x 32 would leave it."""
    torch.manual_seed(0)
    model = torchreid.models.build_model(
        "nr3d_resnet18_ibn", 6, loss="not3d", pretrained=False, aggregation="mean"
    )
    facts = {**facts_of(model, None), "input_size": [64, 32], "frames": 2}
    path = tmp_path / "log" / "model-best.pth.tar"
    write_checkpoint({"state_dict": model.state_dict(), "facts": facts, "versions": {}}, path)
    return path


def run(people, monkeypatch, *words):
    monkeypatch.setattr(sys, "argv", ["people.py", "--machine", "a test", *map(str, words)])
    people.main()


def test_baselines_and_a_checkpoint_are_tested_on_the_same_tracklets(
    people, monkeypatch, market, others, checkpoint, tmp_path
):
    out = tmp_path / "results" / "people"
    words = ["--market", market, "--others", others, "--weights", checkpoint, "--out", out]
    run(people, monkeypatch, *words)
    figures = json.loads(out.with_suffix(".json").read_text())
    held_out, strangers = figures["people"]["held-out"], figures["people"]["others"]
    assert (held_out["people"], held_out["query"], held_out["gallery"]) == (6, 6, 6)
    assert (held_out["frames"], held_out["converted"]["seed"]) == (36, 1)
    assert (strangers["people"], strangers["query"], strangers["gallery"]) == (5, 5, 5)
    pixels, histogram, network = figures["networks"]
    assert (pixels["parameters"], pixels["feature_dim"]) == (0, 3 * 16 * 8)
    assert (histogram["parameters"], histogram["feature_dim"]) == (0, 8 * 8 * 4 * 4)
    classifier = 6 * 512
    model = torchreid.models.build_model(
        "nr3d_resnet18_ibn", 6, pretrained=False, aggregation="mean"
    )
    assert network["parameters"] == sum(p.numel() for p in model.parameters()) - classifier
    assert (network["input"], network["feature_dim"]) == ([64, 32], 512)
    for row in figures["networks"]:
        for own in row["figures"].values():
            for found in own["query"].values():
                assert found["valid_queries"] == found["gallery"]
            for found in own["every"].values():
                assert found["gallery"] == 2 * own["query"]["euclidean"]["gallery"]
                assert found["valid_queries"] == found["gallery"]
                low, high = found["intervals"]["mAP"]
                assert low <= found["mAP"] <= high
    # Colours are all that these people are.
    for own in histogram["figures"].values():
        assert [found["rank-1"] for found in own["query"].values()] == [1.0, 1.0]
        assert [found["mAP"] for found in own["every"].values()] == [1.0, 1.0]

    text = out.with_suffix(".md").read_text()
    assert "pseudo-tracklets" in text and "do not compare with those on MARS" in text
    assert "Held-out people: 6, with 6 query and 6 gallery tracklets of 3.0 frames" in text
    assert "OSNet x0.25 is left out" in text
    assert "| nr3d_resnet18_ibn (mean), log/model-best.pth.tar | euclidean |" in text
    assert text.endswith("\n") and "Machine: a test;" in text


def test_a_network_gives_what_nr3d_test_gives(people, market, others, checkpoint, tmp_path):
    from nr3d.runs.testing import config_to_test, evaluate_weights

    changes = ["data.root", str(market.parent), "data.targets", f"[{market.name}]"]
    changes += ["data.sources", f"[{market.name}]", "data.save_dir", str(tmp_path / "test")]
    changes += ["test.precision", "float32"]
    result = evaluate_weights(config_to_test("synthetic", checkpoint, changes)).results[market.name]
    own = people.figures_of(people.trained(checkpoint), people.read_people(market, 0))
    found = own["query"]["euclidean"]
    assert (found["rank-1"], found["mAP"]) == (pytest.approx(result.rank1), result.mAP)


def test_every_tracklet_is_searched_for_among_all_others(people, market):
    network = people.raw_pixels()
    own = people.read_people(market, 0)
    found = people.figures_of(network, own)["every"]["cosine"]
    both = [*own.tracklets["query"], *own.tracklets["gallery"]]
    features = []
    for paths, *_ in both:
        frames = [Image.open(path).resize((8, 16), Image.Resampling.BICUBIC) for path in paths]
        features.append(np.mean([np.asarray(frame) / 255.0 for frame in frames], axis=0))
    tensor = torch.tensor(np.stack(features)).permute(0, 3, 1, 2).flatten(1).float()
    labels = Labels.of([t[1] for t in both], [t[2] for t in both])
    by_hand = rank(tensor, tensor, labels, labels, dist_metric="cosine")["torchreid"]
    assert (found["rank-1"], found["mAP"]) == (
        pytest.approx(float(by_hand.cmc[0])),
        pytest.approx(by_hand.mAP),
    )


def test_distractors_are_searched_and_do_not_search(people, tmp_path):
    folder = draw_people(tmp_path / "people", 1, 3)
    for camera in (1, 2):
        name = f"0000_c{camera}s1_000001_01.png"
        (folder / name).write_bytes((folder / "0001_c1s1_000000_01.png").read_bytes())
    convert(folder, pattern="market1501", purpose="test")
    own = people.read_people(folder, 0)
    assert (own.counts()["people"], own.counts()["gallery"]) == (3, 5)
    found = people.figures_of(people.raw_pixels(), own)["every"]["euclidean"]
    assert (found["valid_queries"], found["gallery"]) == (6, 8)


def test_long_tracklets_are_shortened_evenly_and_keep_their_order(people, tmp_path):
    folder = draw_people(tmp_path / "long", 1, 3, frames=5)
    convert(folder, pattern="market1501", min_frames=2, purpose="test")
    whole, short = (people.read_people(folder, most) for most in (0, 2))
    for part in ("query", "gallery"):
        for before, after in zip(whole.tracklets[part], short.tracklets[part], strict=True):
            assert list(after[0]) == [before[0][i] for i in evenly(5, 2)]
            assert (type(after[0]), after[1:]) == (type(before[0]), before[1:])
    assert short.counts()["frames"] == 12
    assert people.read_people(folder, 5).tracklets == whole.tracklets


def test_folders_without_people_to_test_are_refused(people, monkeypatch, tmp_path, others):
    plain = draw_people(tmp_path / "plain", 1, 3)
    with pytest.raises(DataError, match="nr3d data convert"):
        people.read_people(plain, 0)
    with pytest.raises(SystemExit, match=r"plain.*nr3d data convert"):
        run(people, monkeypatch, "--market", plain, "--others", others)
    convert(plain, pattern="market1501", purpose="train")
    with pytest.raises(SystemExit, match="plain has no people to test"):
        people.read_people(plain, 0)


def test_histograms_count_what_colorsys_says(people):
    from people_baselines import ColourHistogram, hsv

    images = torch.rand(3, 3, 6, 5, generator=torch.Generator().manual_seed(0))
    images[0, :, 0, 0], images[1, :, 1, 1] = 0.5, 0.0  # grey and black
    images[2, :, 2, 2] = torch.tensor([1.0, 0.0, 0.0])
    found = torch.stack(hsv(images), dim=-1)  # (N, H, W, 3)
    bins, stripes = (4, 3, 2), 2
    counts = torch.zeros(3, stripes, *bins)
    for n in range(3):
        for y in range(6):
            for x in range(5):
                wanted = colorsys.rgb_to_hsv(*images[n, :, y, x].tolist())
                assert found[n, y, x].tolist() == pytest.approx(wanted, abs=1e-5)
                place = [min(int(v * b), b - 1) for v, b in zip(wanted, bins, strict=True)]
                counts[n, y // 3, place[0], place[1], place[2]] += 1
    histogram = ColourHistogram(bins, stripes)
    assert histogram.channels == 48
    torch.testing.assert_close(histogram(images).square() * 30, counts.flatten(1))


def exported(module, path, size):
    pytest.importorskip("onnx")
    torch.onnx.export(
        module.eval(), torch.zeros(1, 3, *size), path, dynamo=False, input_names=["images"]
    )
    return path


@pytest.mark.filterwarnings("ignore")
def test_weights_of_an_exported_osnet_are_read(people, tmp_path):
    from people_osnet import INPUT, osnet_from_onnx, video_osnet

    torch.manual_seed(0)
    source = torchreid.models.build_model("osnet_x0_25", 7, pretrained=False).eval()
    for module in source.modules():
        if isinstance(module, torch.nn.BatchNorm1d | torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.weight, 0.8, 1.2)
            torch.nn.init.normal_(module.bias, std=0.1)
            module.running_mean.normal_(std=0.1)
            module.running_var.uniform_(0.5, 1.5)
    network, difference = osnet_from_onnx(exported(source, tmp_path / "osnet.onnx", INPUT))
    assert difference < 1e-4
    images = torch.rand(2, 3, *INPUT)
    with torch.inference_mode():
        wanted = source(images)
        torch.testing.assert_close(network(images), wanted, rtol=1e-4, atol=1e-4)
    assert wanted.abs().max() > 0.1
    model, _ = video_osnet(tmp_path / "osnet.onnx")
    with torch.inference_mode():
        torch.testing.assert_close(model(images[None]), network(images).mean(0, keepdim=True))


@pytest.mark.filterwarnings("ignore")
def test_other_files_are_no_osnet(people, tmp_path):
    from people_osnet import INPUT, osnet_from_onnx

    other = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU())
    with pytest.raises(SystemExit, match=r"for conv1\.conv\.weight .* no such tensor"):
        osnet_from_onnx(exported(other, tmp_path / "other.onnx", INPUT))
    (tmp_path / "text.onnx").write_text("no network")
    with pytest.raises(SystemExit, match=r"text\.onnx cannot be read as an ONNX file"):
        osnet_from_onnx(tmp_path / "text.onnx")
