"""A run's checkpoint: gone on with as it was, or refused by what is wrong in it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from nr3d.engine.restoring import restore_run
from nr3d.engine.state import Progress, RunParts, run_state
from nr3d.errors import WeightsError
from nr3d.features import Precision
from nr3d.weights import write_checkpoint

FACTS = {"architecture": "small", "identities": 3, "config": {"train": {"lr": 0.1}}}


class Run:
    """A network, its centers and their optimizers, one step trained."""

    def __init__(self, seed: int = 0) -> None:
        torch.manual_seed(seed)
        self.model = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
        self.center = nn.Linear(3, 2, bias=False)
        self.optimizer = torch.optim.Adam(self.model.parameters(), 0.1)
        self.center_optimizer = torch.optim.SGD(self.center.parameters(), 0.5, momentum=0.9)
        self.scheduler = torch.optim.lr_scheduler.StepLR(self.optimizer, 2)
        self.center(self.model(torch.rand(4, 2))).square().sum().backward()
        self.optimizer.step()
        self.center_optimizer.step()

    def parts(self, loss: str = "not3d") -> RunParts:
        return RunParts(
            self.model,
            self.optimizer,
            self.scheduler,
            Precision("float32", torch.device("cpu")),
            loss,
            {"centers": self.center},
            {"center_optimizer": self.center_optimizer},
        )

    def state(self) -> dict[str, Any]:
        progress = Progress(2, 5, {"loss": (1.5, 3)}, 0.25)
        return run_state(self.parts(), progress=progress, rank1=None, facts=FACTS)

    def restored(self, path: Path, loss: str = "not3d") -> Progress:
        return restore_run(path, self.parts(loss), facts=FACTS)


def test_a_run_is_restored(tmp_path: Path) -> None:
    one, other = Run(0), Run(1)
    write_checkpoint(one.state(), tmp_path / "w.pth")
    progress = other.restored(tmp_path / "w.pth")
    assert (progress.epoch, progress.step, progress.best_rank1) == (2, 5, 0.25)
    assert progress.sums == {"loss": (1.5, 3)}
    for mine, theirs in ((other.model, one.model), (other.center, one.center)):
        states = mine.state_dict(), theirs.state_dict()
        assert all(torch.equal(states[0][key], value) for key, value in states[1].items())
    average = other.optimizer.state_dict()["state"][0]["exp_avg"]
    assert torch.equal(average, one.optimizer.state_dict()["state"][0]["exp_avg"])


def test_a_checkpoint_from_before_losses_had_names_is_of_not3d(tmp_path: Path) -> None:
    state = Run(0).state()
    del state["loss"]
    write_checkpoint(state, tmp_path / "w.pth")
    assert Run(1).restored(tmp_path / "w.pth").epoch == 2
    with pytest.raises(
        WeightsError, match=r"with the loss 'not3d' and this run has 'softmax': set"
    ):
        Run(1).restored(tmp_path / "w.pth", loss="softmax")


def test_a_losss_state_has_a_key_of_its_own() -> None:
    run = Run()
    precision = Precision("float32", torch.device("cpu"))
    with pytest.raises(
        ValueError, match="the loss mine keeps its state as 'epoch', expected a key"
    ):
        RunParts(run.model, run.optimizer, None, precision, "mine", {"epoch": run.center})


def nan(tensor: Tensor) -> None:
    tensor.view(-1)[0] = float("nan")


def change(*place: Any, to: Any) -> Callable[[dict[str, Any]], None]:
    def do(state: dict[str, Any]) -> None:
        for key in place[:-1]:
            state = state[key]
        state[place[-1]] = to

    return do


BAD: dict[str, tuple[Callable[[dict[str, Any]], None], str]] = {
    "weights": (lambda s: nan(s["state_dict"]["0.weight"]), r"'0.weight' has 1 NaN and 0 infinite"),
    "variance": (
        change("state_dict", "1.running_var", to=torch.tensor([1.0, -1, 1])),
        "'1.running_var' has 1 of 3 values below 0",
    ),
    "centers": (lambda s: nan(s["centers"]["weight"]), r"'weight' has 1 NaN"),
    "moments": (
        lambda s: nan(s["optimizer"]["state"][0]["exp_avg_sq"]),
        r"'optimizer.0.exp_avg_sq' has 1 NaN",
    ),
    "momentum": (
        lambda s: nan(s["center_optimizer"]["state"][0]["momentum_buffer"]),
        "'center_optimizer.0.momentum_buffer' has 1 NaN",
    ),
    "complex": (
        change("state_dict", "0.bias", to=torch.zeros(3, dtype=torch.complex64)),
        "'0.bias' is of complex64, expected float32",
    ),
    "a list of weights": (
        change("state_dict", to=[1]),
        r"its state_dict is \[1\], expected tensors",
    ),
    "no optimizer": (change("optimizer", to=None), "its optimizer is None, expected an optimizer"),
    "optimizer": (change("optimizer", to={"state": 5}), "is another run's"),
    "facts": (change("facts", to=[1]), r"has facts that are \[1\], expected names with values"),
    "versions": (change("versions", to=[1]), "cannot be read as a training checkpoint"),
    "config": (change("facts", "config", to=[1]), "cannot be read as a training checkpoint"),
    "an epoch of text": (change("epoch", to="two"), "epoch 'two' and step 5 are no counts"),
    "a negative epoch": (change("epoch", to=-1), "epoch -1 and step 5 are no counts"),
    "a step of 10^20": (change("step", to=10**20), "and step 1000.* are no counts"),
    "sums": (change("sums", to={"loss": 1}), "cannot be read as a training checkpoint"),
    "sums of nothing": (change("sums", "loss", to=(1.0, 0)), "sums of no values"),
    "best": (change("best_rank1", to="all"), "the best rank-1 'all' is no share"),
    "beyond the best": (change("best_rank1", to=float("nan")), "the best rank-1 nan is no share"),
    "random": (change("random", "numpy", to=(1, 2)), "cannot be read as a training checkpoint"),
    "torch's": (change("random", "torch", to=torch.ones(3)), "cannot be read as a training checkp"),
    "scheduler": (change("scheduler", to=[3]), "is another run's"),
}


@pytest.mark.parametrize("kind", BAD)
def test_what_is_wrong_in_a_runs_checkpoint_is_one_error(kind: str, tmp_path: Path) -> None:
    damage, words = BAD[kind]
    state = Run(0).state()
    damage(state)
    write_checkpoint(state, tmp_path / "w.pth")
    before = torch.get_rng_state()
    run = Run(1)
    after = torch.get_rng_state()
    with pytest.raises(WeightsError, match=words) as caught:
        run.restored(tmp_path / "w.pth")
    assert str(tmp_path / "w.pth") in str(caught.value)
    assert len(str(caught.value)) < 600
    assert torch.equal(torch.get_rng_state(), after), "random states are as they were"
    torch.set_rng_state(before)
