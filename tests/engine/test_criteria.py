"""Losses by ``loss.name`` through the command line: torchreid's, and one from outside."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim import SGD, Optimizer

from nr3d.cli import main
from nr3d.engine import BEST, LAST, read_records
from nr3d.losses import CRITERIA, Criterion, register_criterion
from nr3d.weights import read_checkpoint

SMALL: dict[str, Any] = {
    "data.height": 32,
    "data.width": 16,
    "data.cache_frames": False,
    "sampler.num_instances": 2,
    "video.seq_len": 2,
    "model.aggregation": "mean",
    "train.batch_size": 8,
    "train.max_epoch": 2,
    "train.stepsize": "[1]",
    "train.precision": "float32",
    "test.precision": "float32",
}


def train(root: Path, out: Path, loss: str, **changes: Any) -> int:
    keys = {**SMALL, "loss.name": loss, "data.save_dir": out}
    keys |= {key.replace("__", "."): value for key, value in changes.items()}
    pairs = [str(word) for pair in keys.items() for word in pair]
    return main(["train", "--config", "synthetic", "--root", str(root), *pairs])


@pytest.fixture
def prototypes() -> Iterator[None]:
    """A loss of one's own, registered for a test: cosine to a learnt prototype per identity."""

    @register_criterion("prototypes")
    class Prototypes(Criterion):
        model_loss = "triplet"
        settings = {"scale": "not3d.temperature"}  # noqa: RUF012

        def __init__(self, num_classes: int, feature_dim: int, *, scale: float) -> None:
            super().__init__()
            self.scale = scale
            self.directions = nn.Parameter(torch.randn(num_classes, feature_dim))

        def losses(
            self, outputs: tuple[Tensor, ...], batch: Mapping[str, Tensor]
        ) -> tuple[Tensor, dict[str, Tensor]]:
            logits, features = outputs
            own = torch.cosine_similarity(features, self.directions[batch["pid"]])
            pull = self.scale * (1 - own).mean()
            identity = nn.functional.cross_entropy(logits, batch["pid"])
            return pull + identity, {"pull": pull.detach(), "identity": identity.detach()}

        def optimizers(self, lr: float) -> dict[str, Optimizer]:
            return {"prototype_optimizer": SGD(self.parameters(), lr=lr, momentum=0.9)}

    yield
    CRITERIA.remove("prototypes")


def test_a_loss_registered_from_outside_trains_saves_resumes_and_tests(
    mars_root: Path, tmp_path: Path, prototypes: None, capsys: pytest.CaptureFixture[str]
) -> None:
    whole, half = tmp_path / "whole", tmp_path / "half"
    assert train(mars_root, whole, "prototypes") == 0
    assert train(mars_root, half, "prototypes", train__max_epoch=1) == 0
    start = read_checkpoint(half / LAST)
    assert start["loss"] == "prototypes"
    assert train(mars_root, half, "prototypes", model__resume=half / LAST) == 0
    one, other = (read_checkpoint(folder / LAST) for folder in (whole, half))
    for name in ("state_dict", "criterion"):
        for key, value in one[name].items():
            assert torch.equal(value, other[name][key]), key
    buffers = [c["prototype_optimizer"]["state"][0]["momentum_buffer"] for c in (one, other)]
    assert torch.equal(*buffers)
    assert not torch.equal(start["criterion"]["directions"], one["criterion"]["directions"])
    assert "centers" not in one
    epochs = [r for r in read_records(whole) if r["kind"] == "epoch"]
    assert {"loss", "loss_pull", "loss_identity", "acc"} <= set(epochs[0])
    assert epochs[0]["loss"] == pytest.approx(epochs[0]["loss_pull"] + epochs[0]["loss_identity"])

    common = ["--config", "synthetic", "--root", str(mars_root), "--weights", str(whole / BEST)]
    assert main(["test", *common, "data.save_dir", str(tmp_path / "test")]) == 0
    capsys.readouterr()
    # Another loss has nothing to do with what this one learnt.
    assert train(mars_root, half, "triplet", model__resume=half / LAST) == 2
    message = capsys.readouterr().err
    assert "was trained with the loss 'prototypes' and this run has 'triplet'" in message


@pytest.mark.parametrize(
    ("loss", "changes", "terms"),
    [
        ("softmax", {"loss__softmax__label_smooth": False}, {"loss_id"}),
        ("triplet", {"loss__triplet__weight_x": 0.5}, {"loss_triplet", "loss_id"}),
        ("triplet", {"loss__triplet__margin": 0.6}, {"loss_triplet"}),
    ],
)
def test_torchreids_losses_train_in_the_same_engine(
    mars_root: Path, tmp_path: Path, loss: str, changes: dict[str, Any], terms: set[str]
) -> None:
    assert train(mars_root, tmp_path / "run", loss, train__max_epoch=1, **changes) == 0
    record = read_records(tmp_path / "run")[0]
    assert {key for key in record if key.startswith("loss_")} == terms
    weights = {"loss_id": 1.0, "loss_triplet": 1.0}
    if len(terms) == 2:
        weights["loss_id"] = 0.5
    total = sum(weights[name] * record[name] for name in terms)
    assert record["loss"] == pytest.approx(total, rel=1e-5)
    checkpoint = read_checkpoint(tmp_path / "run" / LAST)
    assert checkpoint["loss"] == loss
    assert not {"centers", "center_optimizer", "criterion"} & set(checkpoint)


def test_a_loss_without_a_meaning_is_refused(
    mars_root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    none = {"loss__triplet__weight_t": 0, "loss__triplet__weight_x": 0}
    assert train(mars_root, out, "triplet", **none) == 2
    assert "loss.triplet.weight_t and loss.triplet.weight_x are both 0" in capsys.readouterr().err
    assert train(mars_root, out, "arcface") == 2
    message = capsys.readouterr().err
    assert "loss.name is 'arcface', expected one of not3d, softmax, triplet" in message
