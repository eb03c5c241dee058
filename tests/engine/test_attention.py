"""A training records the health of its attention, and says once that it is flat."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from nr3d.engine import LAST, StepOptions, VideoNot3DEngine, read_records
from nr3d.losses import CRITERIA
from nr3d.models import ClipFeatures, VideoReID
from nr3d.processes import stopping
from nr3d.processes.stopping import Interrupted
from nr3d.weights import read_checkpoint
from tests.attentions import STATES, alive, dead
from tests.engine.test_engine import data_of
from tests.engine.test_scalars import read


class OneLayer(torch.nn.Module):
    """Trunk of one convolution, so that a run takes no time."""

    channels = 8

    def __init__(self) -> None:
        super().__init__()
        self.conv = torch.nn.Conv2d(3, 8, 3, stride=2)

    def forward(self, frames: Tensor) -> Tensor:
        return self.conv(frames).relu()


def network(aggregation: str = "attention", loss: str = "not3d", seed: int = 0) -> VideoReID:
    torch.manual_seed(seed)
    kind = CRITERIA[loss].model_loss
    return VideoReID(None, 8, loss=kind, aggregation=aggregation, trunk=OneLayer())


def engine_of(
    root: Path, model: VideoReID, *, lr: float = 1e-6, loss: str = "not3d", **options: Any
) -> VideoNot3DEngine:
    """An engine whose steps are so small that an attention stays as it is."""
    data = data_of(root, **options)
    return VideoNot3DEngine(
        data,
        model,
        torch.optim.SGD(model.parameters(), lr=lr),
        criterion=CRITERIA[loss](data.num_train_pids, model.feature_dim),
        options=StepOptions(precision="float32", accumulation_steps=2),
    )


def epochs(folder: Path) -> list[dict[str, Any]]:
    return [record for record in read_records(folder) if record["kind"] == "epoch"]


def warnings_in(printed: str) -> list[str]:
    return [line for line in printed.splitlines() if line.startswith("attention: flat")]


@pytest.mark.parametrize("loss", ["not3d", "softmax", "triplet"])
@pytest.mark.parametrize("state", STATES)
def test_each_epoch_records_it(
    mars_root: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    state: str,
    loss: str,
) -> None:
    engine = engine_of(mars_root, STATES[state](network(loss=loss)), loss=loss)
    engine.run(save_dir=str(tmp_path), max_epoch=2, print_freq=1)
    printed = capsys.readouterr().out
    first, second = epochs(tmp_path)
    flat = state == "flat"
    for record in (first, second):
        assert record["attention_flat"] == pytest.approx(1 if flat else 0, abs=0.1)
        assert record["attention_largest"] == pytest.approx(0.5 if flat else 1, abs=0.1)
        assert record["attention_erased_over_clean"] > 0
        if flat:
            assert record["attention_erased_over_clean"] == pytest.approx(1)
    lines = [line for line in printed.splitlines() if line.startswith("epoch ")]
    words = "attention 100% flat  lr" if flat else "attention largest "
    assert all(words in line for line in lines)
    assert len(lines) == 2
    step = next(line for line in printed.splitlines() if line.startswith("epoch: [1/2]"))
    assert "attention" not in step.replace("loss_erasing_attention", "")
    said = warnings_in(printed)
    assert len(said) == (1 if flat else 0)
    if flat:
        assert said[0].startswith("attention: flat for the whole of epoch 1: ")
        assert "not3d.attention live" in said[0]
        assert "model.aggregation mean" in said[0]
    checkpoint = read_checkpoint(tmp_path / LAST)
    assert checkpoint["facts"]["attention"] == state
    assert engine.results["mars"].attention is not None
    assert engine.results["mars"].attention.state == state
    (test,) = [record for record in read_records(tmp_path) if record["kind"] == "test"]
    assert test["attention_flat"] == engine.results["mars"].attention.flat
    assert test["attention_largest"] == engine.results["mars"].attention.largest
    curves = read(tmp_path)
    for name in ("flat", "largest"):
        values = [value for _, value in curves[f"Train/attention_{name}"]]
        assert len(values) == 2 * engine.num_batches
        mean = sum(values) / len(values)
        both = (first[f"attention_{name}"] + second[f"attention_{name}"]) / 2
        assert mean == pytest.approx(both, rel=1e-5)
    assert not engine.model.aggregation._forward_hooks


def test_a_mean_has_no_attention(
    mars_root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    engine = engine_of(mars_root, network("mean"))
    engine.run(save_dir=str(tmp_path), max_epoch=1, print_freq=0)
    assert "attention" not in capsys.readouterr().out.replace("loss_erasing_attention", "")
    for record in read_records(tmp_path):
        assert not [name for name in record if name.startswith("attention")]
    assert engine.results["mars"].attention is None
    assert read_checkpoint(tmp_path / LAST)["facts"]["attention"] is None


def test_a_clip_of_one_frame_says_nothing(
    mars_root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    engine = engine_of(mars_root, dead(network()), seq_len=1)
    engine.run(save_dir=str(tmp_path), max_epoch=1, print_freq=0)
    assert not warnings_in(capsys.readouterr().out)
    assert "attention_flat" not in epochs(tmp_path)[0]
    assert engine.results["mars"].attention is None


def test_data_that_erases_nothing_gives_no_ratio(mars_root: Path, tmp_path: Path) -> None:
    engine = engine_of(mars_root, alive(network()), transforms=["random_flip"])
    engine.run(save_dir=str(tmp_path), max_epoch=1, print_freq=0)
    assert epochs(tmp_path)[0]["attention_erased_over_clean"] is None
    assert "Train/attention_erased_over_clean" not in read(tmp_path)


def test_a_frozen_attention_is_not_complained_of(
    mars_root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    engine = engine_of(mars_root, dead(network()))
    frozen: dict[str, Any] = {"fixbase_epoch": 2, "open_layers": ["classifier"]}
    engine.run(save_dir=str(tmp_path), max_epoch=2, print_freq=0, **frozen)
    assert not warnings_in(capsys.readouterr().out)
    assert [record["attention_flat"] for record in epochs(tmp_path)] == [1, 1]
    resumed = engine_of(mars_root, dead(network()))
    start = resumed.resume(tmp_path / LAST)
    resumed.run(save_dir=str(tmp_path), start_epoch=start, max_epoch=4, print_freq=0, **frozen)
    (line,) = warnings_in(capsys.readouterr().out)
    assert line.startswith("attention: flat for the whole of epoch 3: ")
    # It has been said: another run that goes on from there is silent.
    again = engine_of(mars_root, dead(network()))
    start = again.resume(tmp_path / LAST)
    again.run(save_dir=str(tmp_path), start_epoch=start, max_epoch=5, print_freq=0)
    assert not warnings_in(capsys.readouterr().out)


def test_a_run_that_was_stopped_within_an_epoch_records_the_same(
    mars_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def begun() -> VideoNot3DEngine:
        return engine_of(mars_root, alive(network()), lr=1e-3)

    begun().run(save_dir=str(tmp_path / "whole"), max_epoch=1, print_freq=0)
    stopped = begun()
    step = stopped.forward_backward

    def asking(data: dict[str, Any]) -> dict[str, float]:
        if stopped.batch_idx == 1:
            stopping.request(15)
        return step(data)

    monkeypatch.setattr(stopped, "forward_backward", asking)
    with pytest.raises(Interrupted):
        stopped.run(save_dir=str(tmp_path / "half"), max_epoch=1, print_freq=0)
    checkpoint = read_checkpoint(tmp_path / "half" / LAST)
    assert checkpoint["step"] == 2
    assert checkpoint["facts"]["attention"] == "alive"
    resumed = begun()
    start = resumed.resume(tmp_path / "half" / LAST)
    resumed.run(save_dir=str(tmp_path / "half"), start_epoch=start, max_epoch=1, print_freq=0)
    ours, theirs = (
        [{k: v for k, v in record.items() if k != "seconds"} for record in epochs(tmp_path / run)]
        for run in ("half", "whole")
    )
    assert ours == theirs
    assert 0.5 < ours[0]["attention_largest"] <= 1


def test_a_checkpoint_of_an_earlier_release_is_gone_on_with(
    mars_root: Path, tmp_path: Path
) -> None:
    engine_of(mars_root, dead(network())).run(save_dir=str(tmp_path), max_epoch=1, print_freq=0)
    checkpoint = read_checkpoint(tmp_path / LAST)
    del checkpoint["attention_health"], checkpoint["facts"]["attention"]
    torch.save(checkpoint, tmp_path / LAST)
    resumed = engine_of(mars_root, dead(network()))
    assert resumed.resume(tmp_path / LAST) == 1
    assert not resumed.progress.flatness_said


class TwoSteps(torch.nn.Module):
    """Trunk that makes two time steps of a clip of four frames."""

    channels = 8
    frame_wise = False

    def __init__(self) -> None:
        super().__init__()
        self.conv = torch.nn.Conv2d(3, 8, 3)

    def forward(self, clips: Tensor) -> Tensor:
        maps = self.conv(clips.flatten(0, 1)).unflatten(0, clips.shape[:2])
        return maps.unflatten(1, (2, 2)).mean(2)


class Second(torch.nn.Module):
    """Aggregation that takes a quarter of the first time step and the rest of the second."""

    attends = True

    def __init__(self) -> None:
        super().__init__()
        self.share = torch.nn.Parameter(torch.tensor(0.75))

    def forward(self, maps: Tensor) -> ClipFeatures:
        weights = torch.stack([1 - self.share, self.share]).expand(len(maps), 2)
        features = (weights[..., None] * maps.mean((3, 4))).sum(1)
        return ClipFeatures(features, weights, weights)


def test_time_steps_that_are_fewer_than_the_frames_are_spread_over_them(
    mars_root: Path, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    model = VideoReID(None, 8, loss="not3d", trunk=TwoSteps())
    model.aggregation = Second()
    engine = engine_of(mars_root, model, seq_len=4)
    engine.run(save_dir=str(tmp_path), max_epoch=1, print_freq=0)
    (record,) = epochs(tmp_path)
    assert record["attention_largest"] == pytest.approx(0.375, abs=1e-3)
    assert record["attention_flat"] == 0
