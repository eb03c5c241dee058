"""The engine: a few steps on made tracklets, through torchreid's own interface."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import nr3d
from nr3d.data import ClipDataManager, FrameLoader, TestTracklets
from nr3d.engine import StepOptions, TestOptions, VideoNot3DEngine, read_records, warmup_multi_step
from nr3d.errors import Nr3dError, WeightsError
from nr3d.features import Inference, InferenceOptions, extract, extract_each
from nr3d.host import torchreid
from nr3d.losses import Not3DLoss
from nr3d.weights import read_checkpoint

Build = Callable[..., nr3d.models.VideoReID]

FLOAT32 = StepOptions(precision="float32", channels_last=False)
"""The same numbers on every processor."""


def data_of(root: Path, **options: Any) -> ClipDataManager:
    defaults: dict[str, Any] = {
        "root": root,
        "sources": "mars",
        "height": 32,
        "width": 16,
        "batch_size_train": 8,
        "num_instances": 2,
        "workers": 0,
        "seq_len": 2,
        "batch_size_test": 4,
    }
    return ClipDataManager(**(defaults | options))


def engine_of(
    root: Path,
    build: Build,
    *,
    scheduler: bool = True,
    seed: int = 0,
    step: StepOptions = FLOAT32,
    protocol: str = "torchreid",
    pooling: str = "avg",
    **options: Any,
) -> VideoNot3DEngine:
    data = data_of(root, **options)
    model = build(data.num_train_pids, seed)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    schedule = warmup_multi_step(optimizer, [2], warmup_epochs=2) if scheduler else None
    test = TestOptions(InferenceOptions("float32"), protocol)
    return VideoNot3DEngine(
        data,
        model,
        optimizer,
        schedule,
        pooling_method=pooling,
        options=step,
        test_options=test,
    )


def stock_data_of(root: Path, **options: Any) -> Any:
    defaults: dict[str, Any] = {
        "root": str(root),
        "sources": "mars",
        "height": 32,
        "width": 16,
        "batch_size_train": 4,
        "batch_size_test": 2,
        "seq_len": 2,
        "workers": 0,
        "num_instances": 2,
        "train_sampler": "RandomIdentitySampler",
    }
    return torchreid.data.VideoDataManager(**{**defaults, **options})


def everything(engine: VideoNot3DEngine) -> dict[str, torch.Tensor]:
    """All tensors of a run: weights, statistics, centers and both optimizers' states."""
    tensors = dict(engine.model.state_dict())
    tensors["centers"] = engine.criterion.center.centers.detach()
    for index, state in engine.optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{key}": value for key, value in state.items()}
    return tensors


def test_signatures_are_torchreids() -> None:
    for name in ("run", "test"):
        ours = inspect.signature(getattr(VideoNot3DEngine, name)).parameters
        theirs = inspect.signature(getattr(torchreid.engine.Engine, name)).parameters
        assert list(ours) == list(theirs)
        for parameter in theirs.values():
            default = ours[parameter.name].default
            assert (
                list(default) == parameter.default
                if parameter.name == "ranks"
                else (default == parameter.default)
            )


def test_it_learns_and_prints_what_torchreid_prints(
    mars_root: Path, small_model: Build, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    engine = engine_of(mars_root, small_model)
    engine.run(save_dir=str(tmp_path), max_epoch=4, eval_freq=2, print_freq=1)
    printed = capsys.readouterr().out
    for line in ("=> Start training", "##### Evaluating mars (source) #####", "=> Final test"):
        assert line in printed
    for line in ("** Results **", "mAP: ", "CMC curve", "Rank-1  : ", "Rank-20 : ", "Elapsed 0:"):
        assert line in printed
    assert re.search(r"epoch: \[4/4\]\[1/\d\]\tloss \d", printed)
    records = read_records(tmp_path)
    assert [r["kind"] for r in records] == ["epoch", "epoch", "test", "epoch", "epoch", "test"]
    losses = [r["loss"] for r in records if r["kind"] == "epoch"]
    assert losses[-1] < losses[0]
    assert {"epoch", "lr", "loss_id", "loss_ranked_list", "loss_center", "seconds"} <= set(
        records[0]
    )
    tests = [r for r in records if r["kind"] == "test"]
    assert [r["epoch"] for r in tests] == [2, 4]
    assert all(0 <= r["rank-1"] <= r["rank-5"] <= r["rank-20"] <= 1 for r in tests)
    assert (tmp_path / "model-last.pth.tar").is_file()
    assert (tmp_path / "model-best.pth.tar").is_file()
    assert engine.best_rank1 == max(r["rank-1"] for r in tests)
    result = engine.results["mars"]
    assert (result.query, result.gallery, result.valid_queries) == (8, 8, 8)
    assert (result.frames, result.clips) == (16 * 5, 16 * 3)


def test_one_step_by_hand(mars_root: Path, small_model: Build) -> None:
    """The step that the engine takes against one written out with plain autograd."""
    engine = engine_of(mars_root, small_model)
    engine.set_model_mode("train")
    engine.epoch, engine.batch_idx, engine.max_epoch = 0, 0, 1
    batch = next(iter(engine.train_loader))
    model = small_model(8, 0).train()
    centers = engine.criterion.center.centers.detach().clone()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    warmup_multi_step(optimizer, [2], warmup_epochs=2)

    logits, features, scores = model(batch["img"])
    criterion = Not3DLoss(8, 512)
    criterion.center.centers.data.copy_(centers)
    total, terms = criterion(logits, features, scores, batch["pid"], batch["erased"])
    total.backward()
    optimizer.step()
    # The centers' own step: the gradient of mean ‖f - c‖² alone, at learning rate 0.5.
    expected = centers.clone()
    for feature, pid in zip(features.detach(), batch["pid"], strict=True):
        expected[pid] += 0.5 * 2 * (feature - centers[pid]) / len(features)

    summary = engine.forward_backward(batch)
    assert summary["loss"] == pytest.approx(total.item())
    assert summary["loss_center"] == pytest.approx(terms["center"].item())
    torch.testing.assert_close(
        engine.criterion.center.centers.detach(), expected, rtol=1e-4, atol=1e-4
    )
    for name, value in model.state_dict().items():
        torch.testing.assert_close(engine.model.state_dict()[name], value)


def test_a_center_weight_of_zero_leaves_the_centers(mars_root: Path, small_model: Build) -> None:
    data = data_of(mars_root)
    model = small_model(8)
    optimizer = torch.optim.Adam(model.parameters())
    engine = VideoNot3DEngine(
        data, model, optimizer, criterion=Not3DLoss(8, 512, center_weight=0.0)
    )
    before = engine.criterion.center.centers.detach().clone()
    engine.epoch, engine.max_epoch = 0, 1
    engine.train(print_freq=0)
    assert torch.equal(engine.criterion.center.centers.detach(), before)


@pytest.mark.parametrize("scheduler", [True, False])
def test_a_resumed_run_equals_an_uninterrupted_one(
    mars_root: Path, small_model: Build, tmp_path: Path, scheduler: bool
) -> None:
    options: dict[str, Any] = {"scheduler": scheduler}
    whole = engine_of(mars_root, small_model, **options)
    whole.run(save_dir=str(tmp_path / "whole"), max_epoch=4, eval_freq=1, print_freq=0)

    half = engine_of(mars_root, small_model, **options)
    half.run(save_dir=str(tmp_path / "half"), max_epoch=2, eval_freq=1, print_freq=0)
    # Another start, another state of the random numbers: all comes from the checkpoint.
    resumed = engine_of(mars_root, small_model, seed=9, **options)
    torch.rand(7)
    start = resumed.resume(tmp_path / "half" / "model-last.pth.tar")
    assert start == 2
    assert resumed.best_rank1 == half.best_rank1
    resumed.run(
        save_dir=str(tmp_path / "half"), max_epoch=4, start_epoch=start, eval_freq=1, print_freq=0
    )
    one, other = everything(whole), everything(resumed)
    assert one.keys() == other.keys()
    for name, value in one.items():
        assert torch.equal(value, other[name]), name
    figures = [
        {k: v for k, v in record.items() if k != "seconds"}
        for record in read_records(tmp_path / "whole")
    ]
    assert figures == [
        {k: v for k, v in record.items() if k != "seconds"}
        for record in read_records(tmp_path / "half")
    ]


def test_a_finished_run_that_is_resumed_only_tests(
    mars_root: Path, small_model: Build, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    engine_of(mars_root, small_model).run(save_dir=str(tmp_path), max_epoch=1, print_freq=0)
    before = (tmp_path / "model-last.pth.tar").read_bytes()
    again = engine_of(mars_root, small_model)
    start = again.resume(tmp_path / "model-last.pth.tar")
    again.run(save_dir=str(tmp_path), max_epoch=1, start_epoch=start)
    assert "Nothing left to train: 1 of 1 epochs are done" in capsys.readouterr().out
    assert (tmp_path / "model-last.pth.tar").read_bytes() == before


def test_checkpoint_holds_the_whole_run_and_torchreid_can_load_it(
    mars_root: Path, small_model: Build, tmp_path: Path
) -> None:
    engine = engine_of(mars_root, small_model)
    engine.run(save_dir=str(tmp_path), max_epoch=1, print_freq=0)
    path = tmp_path / "model-best.pth.tar"
    checkpoint = read_checkpoint(path)
    assert {
        "state_dict",
        "centers",
        "optimizer",
        "center_optimizer",
        "scheduler",
        "epoch",
        "rank1",
        "best_rank1",
    } <= set(checkpoint)
    assert checkpoint["epoch"] == 1
    other = small_model(8, seed=5)
    torchreid.utils.load_pretrained_weights(other, str(path))
    for name, value in engine.model.state_dict().items():
        assert torch.equal(value, other.state_dict()[name])
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []


def test_best_is_kept_when_a_later_test_is_worse(
    mars_root: Path, small_model: Build, tmp_path: Path
) -> None:
    engine = engine_of(mars_root, small_model)
    engine.save_model(0, 0.5, str(tmp_path))
    engine.save_model(1, 0.4, str(tmp_path))
    engine.save_model(2, None, str(tmp_path))
    assert read_checkpoint(tmp_path / "model-best.pth.tar")["epoch"] == 1
    last = read_checkpoint(tmp_path / "model-last.pth.tar")
    assert (last["epoch"], last["rank1"], last["best_rank1"]) == (3, None, 0.5)


def test_what_cannot_be_resumed_says_why(
    mars_root: Path, small_model: Build, tmp_path: Path
) -> None:
    engine = engine_of(mars_root, small_model)
    engine.save_model(0, 0.5, str(tmp_path))
    path = tmp_path / "model-last.pth.tar"
    with pytest.raises(WeightsError, match="trained with a learning-rate scheduler"):
        engine_of(mars_root, small_model, scheduler=False).resume(path)
    torch.save(engine.model.state_dict(), tmp_path / "bare.pth")
    with pytest.raises(WeightsError, match=r"bare.pth is not a training checkpoint: it has no"):
        engine.resume(tmp_path / "bare.pth")
    mean = engine_of(mars_root, lambda k, seed: small_model(k, seed, aggregation="mean"))
    with pytest.raises(WeightsError, match=r"is another run's.*aggregation"):
        mean.resume(path)
    with pytest.raises(WeightsError, match="No checkpoint at"):
        engine.resume(tmp_path / "nothing")


def test_a_tracklets_feature_is_the_mean_over_its_dense_clips(
    mars_root: Path, small_model: Build
) -> None:
    engine = engine_of(mars_root, small_model)
    engine.set_model_mode("eval")
    tracklets = engine.test_loader["mars"]["query"].tracklets
    found = extract(engine.test_loader["mars"]["query"], engine.inference())
    assert found.features.shape == (8, 512)
    for index in range(len(tracklets)):
        clips = clips_of(tracklets, index)  # frames 0 1, 2 3, 4 4
        with torch.no_grad():
            alone = [engine.model(clip[None])[0] for clip in clips]
        torch.testing.assert_close(
            found.features[index], torch.stack(alone).mean(0), rtol=1e-4, atol=1e-4
        )
    assert found.labels.pids.tolist() == [t[1] for t in tracklets.tracklets]
    assert found.frames.tolist() == [5] * 8
    assert found.clips.tolist() == [3] * 8


def clips_of(tracklets: TestTracklets, index: int) -> torch.Tensor:
    """A tracklet's clips (n, T, 3, H, W), made frame by frame."""
    frames = [tracklets.pixels(index, position, []) for position in tracklets.positions(index)]
    images = tracklets.transform.normalise(torch.from_numpy(np.stack(frames)))
    return images[torch.tensor(tracklets.clips(len(frames)))]


def test_a_frames_weight_is_its_share_in_its_clip(mars_root: Path, small_model: Build) -> None:
    engine = engine_of(mars_root, small_model, batch_size_test=7, seq_len=3)
    engine.set_model_mode("eval")
    loader = engine.test_loader["mars"]["query"]
    for row in extract_each(loader, engine.inference()):
        with torch.no_grad():
            first, last = engine.model.embed(clips_of(loader.tracklets, row.index)).weights
        # The second clip is filled up by its own first frame: 3 4 3.
        expected = [*first, last[0] + last[2], last[1]]
        np.testing.assert_allclose(row.frame_weights, torch.stack(expected), rtol=1e-4)


def test_each_frame_goes_through_the_trunk_once_in_full_batches(
    mars_root: Path, small_model: Build
) -> None:
    engine = engine_of(mars_root, small_model, batch_size_test=7)
    inference = engine.inference()
    sizes: list[int] = []
    inference.model.backbone.register_forward_hook(lambda m, x, y: sizes.append(len(x[0])))
    extract(engine.test_loader["mars"]["gallery"], inference)
    assert sizes == [7, 7, 7, 7, 7, 5]  # 8 tracklets of 5 frames


@pytest.mark.parametrize("pooling", ["avg", "max"])
def test_the_engine_ranks_by_its_own_pooling_of_the_clips(
    own_mars_root: Path, small_model: Build, pooling: str
) -> None:
    # Frames of one colour would make all clips of a tracklet alike, and every pooling the same.
    rng = np.random.default_rng(0)
    for frame in sorted((own_mars_root / "mars" / "bbox_test").rglob("*.jpg")):
        noise = rng.integers(0, 255, (8, 4, 3), np.uint8)
        Image.fromarray(noise).resize((32, 64), Image.Resampling.NEAREST).save(frame)
    engine = engine_of(own_mars_root, small_model, pooling=pooling)
    engine.test()
    clips = {
        part: [
            engine.model(clips_of(loader.tracklets, index)).detach()
            for index in range(len(loader.tracklets))
        ]
        for part, loader in engine.test_loader["mars"].items()
    }
    expected = {}
    for name, pool in (("avg", lambda x: x.mean(0)), ("max", lambda x: x.amax(0))):
        features = [torch.stack([pool(own) for own in clips[part]]) for part in clips]
        expected[name] = torch.cdist(*features).square()
    found = torch.from_numpy(engine.distances["mars"])
    torch.testing.assert_close(found, expected.pop(pooling), rtol=1e-3, atol=1e-4)
    (other,) = expected.values()
    assert (found - other).abs().max() > 0.02 * other.max()


def test_results_do_not_depend_on_batch_size_order_or_packing(
    mars_root: Path, small_model: Build
) -> None:
    def features(batch_size: int, order: list[int] | None = None) -> torch.Tensor:
        engine = engine_of(mars_root, small_model, batch_size_test=batch_size)
        engine.set_model_mode("eval")
        loader = engine.test_loader["mars"]["gallery"]
        if order is not None:
            loader = engine.datamanager.frame_loader(loader.tracklets.tracklets, order)
        return extract(loader, engine.inference()).features

    one = features(1)
    for others in (features(7), features(64), features(3, [5, 2, 7, 0, 1, 6, 3, 4])):
        torch.testing.assert_close(one, others, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ["bf16", "fp16"])
def test_lower_precision_points_the_same_way(
    mars_root: Path, small_model: Build, name: str
) -> None:
    engine = engine_of(mars_root, small_model)
    loader = engine.test_loader["mars"]["gallery"]
    found = [
        extract(loader, Inference(engine.model, engine.device, InferenceOptions(precision)))
        for precision in ("float32", name)
    ]
    assert found[1].features.dtype == torch.float32
    cosines = torch.cosine_similarity(*(each.features for each in found))
    assert cosines.min() > 0.999
    assert not torch.equal(found[0].features, found[1].features)


def test_inference_leaves_the_network_as_it_is(mars_root: Path, small_model: Build) -> None:
    engine = engine_of(mars_root, small_model)
    before = {key: value.clone() for key, value in engine.model.state_dict().items()}
    engine.inference()
    engine.test()
    after = engine.model.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[key], after[key]) for key in before)


def test_results_do_not_depend_on_packing_for_real_frames(
    footage: Path, small_model: Build
) -> None:
    engine = engine_of(footage, small_model, height=224, width=112, seq_len=4, batch_size_train=4)
    tracklets = engine.test_loader["mars"]["query"].tracklets.tracklets
    inference = engine.inference()
    one, other = (
        extract(
            FrameLoader(TestTracklets(tracklets, engine.datamanager.transform_te), order, frames=n),
            inference,
        ).features
        for order, n in ((None, 64), ([7, 3, 0, 5, 1, 6, 2, 4], 5))
    )
    scale = one.abs().max()
    torch.testing.assert_close(one / scale, other / scale, rtol=0, atol=1e-5)


def test_an_aggregation_of_ones_own_is_given_whole_maps(
    mars_root: Path, small_model: Build
) -> None:
    class Last(torch.nn.Module):
        def forward(self, maps: torch.Tensor) -> nr3d.models.ClipFeatures:
            weights = torch.zeros(maps.shape[:2])
            weights[:, -1] = 1
            return nr3d.models.ClipFeatures(maps[:, -1].mean((2, 3)), weights, weights)

    engine = engine_of(mars_root, small_model)
    engine.model.aggregation = Last()
    engine.set_model_mode("eval")
    loader = engine.test_loader["mars"]["query"]
    found = extract(loader, engine.inference())
    with torch.no_grad():
        expected = engine.model(clips_of(loader.tracklets, 0)).mean(0)
    torch.testing.assert_close(found.features[0], expected, rtol=1e-4, atol=1e-4)


def test_test_gives_rank1_and_draws_the_rankings(
    mars_root: Path, small_model: Build, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    engine = engine_of(mars_root, small_model)
    engine.run(save_dir=str(tmp_path), test_only=True, visrank=True, visrank_topk=3, rerank=True)
    assert engine.results["mars"].ranks.keys() == {1, 5, 10, 20}
    pages = sorted((tmp_path / "visrank_mars").glob("*.png"))
    assert len(pages) == 1
    assert "Rankings drawn: " in capsys.readouterr().out
    rank1 = engine.test(dist_metric="cosine", normalize_feature=True, ranks=[1, 2])
    assert rank1 == engine.results["mars"].rank1
    assert engine.results["mars"].ranks.keys() == {1, 2}


def test_pictures_show_the_queries_where_the_protocol_ranks_them(
    mars_root: Path, small_model: Build, tmp_path: Path
) -> None:
    widths = {}
    for protocol in ("torchreid", "ap3d"):
        engine = engine_of(mars_root, small_model, protocol=protocol)
        out = tmp_path / protocol
        engine.run(save_dir=str(out), test_only=True, visrank=True, visrank_topk=50)
        with Image.open(out / "visrank_mars" / "ranking_001.png") as page:
            widths[protocol] = page.width
    # Of 8 gallery tracklets one is the query's own under its camera; with the queries, 2 of 16.
    assert widths["ap3d"] > 1.8 * widths["torchreid"]


def test_visrank_needs_test_only_as_in_torchreid(mars_root: Path, small_model: Build) -> None:
    with pytest.raises(ValueError, match="visrank can be set to True only if test_only=True"):
        engine_of(mars_root, small_model).run(visrank=True, max_epoch=1)
    with pytest.raises(ValueError, match=r"ranks are \[0\], expected"):
        engine_of(mars_root, small_model).test(ranks=[0])


def test_fixbase_trains_only_the_open_layers(
    mars_root: Path, small_model: Build, tmp_path: Path
) -> None:
    engine = engine_of(mars_root, small_model)
    before = {k: v.clone() for k, v in engine.model.state_dict().items()}
    engine.run(
        save_dir=str(tmp_path),
        max_epoch=1,
        fixbase_epoch=1,
        open_layers="classifier",
        print_freq=0,
    )
    changed = {k for k, v in engine.model.state_dict().items() if not torch.equal(v, before[k])}
    assert changed == {"classifier.weight"}


def test_a_loss_that_is_not_finite_stops_and_keeps_the_checkpoint(
    mars_root: Path, small_model: Build, tmp_path: Path
) -> None:
    engine = engine_of(mars_root, small_model)
    engine.run(save_dir=str(tmp_path), max_epoch=1, print_freq=0)
    kept = (tmp_path / "model-last.pth.tar").read_bytes()
    with torch.no_grad():
        engine.model.classifier.weight.fill_(float("nan"))
    with pytest.raises(Nr3dError, match=r"not finite at epoch 2, batch 1 \(loss nan"):
        engine.run(save_dir=str(tmp_path), max_epoch=2, start_epoch=1, print_freq=0)
    assert (tmp_path / "model-last.pth.tar").read_bytes() == kept


def test_a_model_for_another_loss_is_refused(mars_root: Path) -> None:
    model = torchreid.models.build_model("nr3d_resnet18_ibn", 8, "triplet", pretrained=False)
    with pytest.raises(ValueError, match=r"loss='triplet', expected 'not3d'"):
        VideoNot3DEngine(data_of(mars_root), model, torch.optim.Adam(model.parameters()))


@pytest.mark.parametrize("kind", ["VideoTripletEngine", "VideoSoftmaxEngine"])
def test_torchreids_stock_engines_drive_the_model(
    mars_root: Path, tmp_path: Path, kind: str
) -> None:
    stock = stock_data_of(mars_root)
    loss = "triplet" if kind == "VideoTripletEngine" else "softmax"
    model = torchreid.models.build_model("nr3d_resnet18_ibn", 8, loss, pretrained=False)
    optimizer = torchreid.optim.build_optimizer(model, lr=1e-4)
    scheduler = torchreid.optim.build_lr_scheduler(optimizer, stepsize=1)
    before = model.classifier.weight.detach().clone()
    engine = getattr(torchreid.engine, kind)(stock, model, optimizer, scheduler=scheduler)
    engine.run(save_dir=str(tmp_path), max_epoch=1, print_freq=1, ranks=[1])
    assert not torch.equal(model.classifier.weight, before)
    assert (tmp_path / "model" / "model.pth.tar-1").is_file()


def test_our_engine_takes_torchreids_stock_data(
    mars_root: Path, small_model: Build, tmp_path: Path
) -> None:
    stock = stock_data_of(mars_root)
    model = small_model(8)
    engine = VideoNot3DEngine(stock, model, torch.optim.Adam(model.parameters(), lr=1e-4))
    engine.run(save_dir=str(tmp_path), max_epoch=1, print_freq=0)
    record = read_records(tmp_path)[0]
    assert record["loss_erasing_attention"] == 0
    assert engine.results["mars"].clips == 16


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"dist_metric": "manhattan"}, "dist_metric is 'manhattan', expected one of"),
        ({"ranks": (0, 5)}, r"ranks are \[0, 5\]"),
        ({"ranks": (51,)}, r"ranks are \[51\]"),
        ({"visrank_topk": 0}, "visrank_topk is 0"),
    ],
)
@pytest.mark.parametrize("test_only", [False, True])
def test_arguments_of_a_test_are_refused_before_anything_is_computed(
    mars_root: Path,
    small_model: Build,
    tmp_path: Path,
    arguments: dict[str, Any],
    message: str,
    test_only: bool,
) -> None:
    engine = engine_of(mars_root, small_model)
    engine.model.register_forward_pre_hook(lambda *_: pytest.fail("a network was asked"))
    with pytest.raises(ValueError, match=message):
        engine.run(save_dir=str(tmp_path), max_epoch=1, test_only=test_only, **arguments)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"protocol": "mars"}, "protocol is 'mars', expected one of"),
        ({"evaluator": "cython"}, "evaluator is 'cython'"),
        ({"distractors": "hide"}, "distractors is 'hide'"),
        ({"memory": 0}, "memory is 0"),
        ({"evaluator": "torchreid", "protocol": "ap3d"}, "torchreid's evaluator does not know"),
    ],
)
def test_options_of_a_test_that_do_not_exist_are_refused(
    options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        TestOptions(**options)


def test_another_pooling_is_refused_everywhere(mars_root: Path, small_model: Build) -> None:
    engine = engine_of(mars_root, small_model)
    loader = engine.test_loader["mars"]["query"]
    for each in (extract, lambda *a, **k: list(extract_each(*a, **k))):
        with pytest.raises(ValueError, match="pooling is 'mean', expected one of"):
            each(loader, engine.inference(), pooling="mean")
    with pytest.raises(ValueError, match="pooling_method is 'mean', expected one of"):
        VideoNot3DEngine(engine.datamanager, engine.model, engine.optimizer, pooling_method="mean")


def test_cuhk03s_metric_is_called_by_its_name(
    mars_root: Path, small_model: Build, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    engine = engine_of(mars_root, small_model)
    engine.run(save_dir=str(tmp_path), test_only=True, use_metric_cuhk03=True)
    assert engine.results["mars"].protocol == "cuhk03"
    assert list(engine.by_protocol["mars"]) == ["cuhk03"]
    assert "** cuhk03 **" in capsys.readouterr().out
    assert [r["protocol"] for r in read_records(tmp_path)] == ["cuhk03"]
    # A checkpoint's figures are those of its protocol.
    engine.save_model(0, 0.5, str(tmp_path))
    facts = read_checkpoint(tmp_path / "model-best.pth.tar")["facts"]
    assert (facts["protocol"], facts["results"]) == ("torchreid", {})
    with pytest.raises(ValueError, match="the protocol is 'ap3d', expected 'torchreid'"):
        engine_of(mars_root, small_model, protocol="ap3d").test(use_metric_cuhk03=True)
