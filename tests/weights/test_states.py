"""State dicts as people have them: wrapped, nested, prefixed; and numbers that are none."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import nr3d
from nr3d.cli import main
from nr3d.errors import WeightsError
from nr3d.weights import entry_of_file, export, load, read_tensors

Build = Callable[..., nr3d.models.VideoReID]
NAME = "nr3d_resnet18_ibn.mine"


class Small(nn.Module):
    """A network with the names of ours, and few tensors."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = nn.Sequential()
        self.backbone.add_module("conv1", nn.Conv2d(3, 4, 3))
        self.bottleneck = nn.BatchNorm1d(4)
        self.classifier = nn.Linear(4, 5, bias=False)


@pytest.fixture
def source() -> dict[str, Tensor]:
    torch.manual_seed(3)
    return Small().state_dict()


@pytest.fixture
def target() -> Small:
    return Small()


def prefixed(state: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {prefix + key: value for key, value in state.items()}


def check_loads(content: Any, source: dict[str, Tensor], target: nn.Module, path: Path) -> Any:
    for value in target.state_dict().values():
        value.zero_()
    torch.save(content, path)
    report = load(target, path, whole=True)
    assert all(torch.equal(target.state_dict()[key], value) for key, value in source.items())
    return report


@pytest.mark.parametrize(
    "prefix",
    [
        *("module.", "_orig_mod.", "_forward_module.", "model.", "net.", "state_dict."),
        *("module._orig_mod.", "_orig_mod.module.", "model._orig_mod.module.", "module.model."),
    ],
)
def test_prefixes_of_wrappers_are_taken_off(
    prefix: str, source: dict[str, Tensor], target: nn.Module, tmp_path: Path
) -> None:
    check_loads({"state_dict": prefixed(source, prefix)}, source, target, tmp_path / "w.pth")


def test_a_part_that_was_compiled_alone(
    source: dict[str, Tensor], target: nn.Module, tmp_path: Path
) -> None:
    state = {key.replace("backbone.", "backbone._orig_mod."): v for key, v in source.items()}
    check_loads(state, source, target, tmp_path / "w.pth")


def test_what_lightning_saves_beside_the_network_is_reported(
    source: dict[str, Tensor], target: nn.Module, tmp_path: Path
) -> None:
    state = prefixed(source, "model.") | {"criterion.centers": torch.rand(5, 3)}
    content = {"state_dict": state, "epoch": 4, "pytorch-lightning_version": "2.1"}
    report = check_loads(content, source, target, tmp_path / "w.ckpt")
    assert report.unused == {
        "criterion.centers": "not a part of the network, which is model in the file"
    }


@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: {"model": state, "optimizer": {}, "epoch": 1},
        lambda state: {"model": {"state_dict": state}, "args": {"lr": 1}},
        lambda state: {"state_dict": {"model": {"net": state}}},
        lambda state: {"optimizer": {}, "ema_state_dict": state},
        lambda state: {"network": prefixed(state, "module.")},
    ],
)
def test_where_state_dicts_are_found(
    wrap: Callable[[Any], Any], source: dict[str, Tensor], target: nn.Module, tmp_path: Path
) -> None:
    check_loads(wrap(source), source, target, tmp_path / "w.pth")


def test_two_networks_in_one_file_are_refused(
    source: dict[str, Tensor], target: nn.Module, tmp_path: Path
) -> None:
    torch.save(prefixed(source, "model.") | prefixed(source, "net."), tmp_path / "w.pth")
    with pytest.raises(WeightsError, match=r"holds 2 networks, as model\., net\.: save"):
        load(target, tmp_path / "w.pth")


def test_a_stock_model_of_ones_own_prefix_keeps_it(tmp_path: Path) -> None:
    class Holder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = nn.Linear(2, 2)

    one, other = Holder(), Holder()
    torch.save(prefixed(one.state_dict(), "_orig_mod."), tmp_path / "w.pth")
    load(other, tmp_path / "w.pth")
    assert torch.equal(one.model.weight, other.model.weight)
    torch.save(prefixed(one.state_dict(), "net."), tmp_path / "w.pth")
    load(other, tmp_path / "w.pth")
    assert torch.equal(one.model.weight, other.model.weight)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({}, "it has nothing"),
        ({"state_dict": {}}, "the one in it is empty"),
        ({"optimizer": {"state": {}}, "epoch": 3}, "has optimizer, epoch. These are for resuming"),
        ({"state_dict": {1: torch.ones(1)}}, "a name in it is 1, which is no text"),
        ({"a": torch.ones(1), "b": [1]}, "'b' in it is of type list, not a tensor"),
        ({"a": {"b": {"c": {}}}}, "it has a"),
        ({"x" * 5000: 1}, "it has xxx"),
        ({"a.b": torch.ones(1), "a._orig_mod.b": torch.ones(1)}, "two tensors for 'a.b'"),
        ({"a": torch.ones(2).to_sparse()}, "has a sparse tensor as 'a', expected plain numbers"),
        ({"a": torch.empty(2, device="meta")}, "has a meta tensor, without numbers as 'a'"),
        (
            {"a": torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.qint8)},
            "has a quantised tensor as 'a'",
        ),
    ],
)
@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning")
def test_what_holds_no_weights_is_refused_with_the_reason(
    content: Any, words: str, tmp_path: Path
) -> None:
    torch.save(content, tmp_path / "w.pth")
    with pytest.raises(WeightsError, match=words) as caught:
        read_tensors(tmp_path / "w.pth")
    assert str(tmp_path / "w.pth") in str(caught.value)
    assert len(str(caught.value)) < 700


# A whole network, pickled


@pytest.mark.parametrize(
    "content",
    [
        lambda model: nn.DataParallel(model),
        lambda model: model,
        lambda model: {"model": nn.DataParallel(model), "epoch": 3},
    ],
)
def test_the_conversion_of_a_pickled_network_works(
    content: Callable[[nn.Module], Any], tmp_path: Path
) -> None:
    model = nn.BatchNorm1d(3)
    torch.save(content(model), tmp_path / "my w.pth")
    with pytest.raises(WeightsError, match=r"asks for torch\.nn\.\S+ when .* convert it") as caught:
        read_tensors(tmp_path / "my w.pth")
    _, code = str(caught.value).removesuffix('"').split('python -c "')
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, timeout=120)
    found = read_tensors(tmp_path / "weights.pth")
    assert all(torch.equal(found[key], value) for key, value in model.state_dict().items())


def test_a_file_name_is_not_a_part_of_the_command(tmp_path: Path) -> None:
    path = tmp_path / "w'); print('$(id)\".pth"
    torch.save(nn.ReLU(), path)
    with pytest.raises(WeightsError, match=r"torch\.load\('FILE', map_location"):
        read_tensors(path)


# Numbers


def infinite(value: Tensor) -> Tensor:
    value.flatten()[-1] = float("inf")
    return value


BAD: dict[str, tuple[str, Callable[[Tensor], Tensor], str]] = {
    "nan": (
        "backbone.conv1.weight",
        lambda v: v / 0 * 0,
        "has 108 NaN and 0 infinite of its 108",
    ),
    "infinite": ("classifier.weight", infinite, "has 0 NaN and 1 infinite of its 20 values"),
    "variance": ("bottleneck.running_var", infinite, "has 0 NaN and 1 infinite of its 4 values"),
    "below 0": ("bottleneck.running_var", lambda v: -v, "4 of 4 values below 0, which no var"),
    "double": ("bottleneck.weight", lambda v: v.double() * 1e300, "NaN and 4 infinite"),
    "complex": ("bottleneck.weight", lambda v: v.to(torch.complex64), "is of complex64, expected"),
    "bool": ("bottleneck.weight", lambda v: v > 0, "is of bool, expected float32"),
    "whole": ("bottleneck.weight", lambda v: v.long(), "is of int64, expected float32"),
    "float8": (
        "bottleneck.weight",
        lambda v: v.to(torch.float8_e4m3fn),
        "is of float8_e4m3fn, exp",
    ),
    "counter": (
        "bottleneck.num_batches_tracked",
        lambda v: v.to(torch.complex64),
        "is of complex64",
    ),
}


@pytest.mark.parametrize("kind", BAD)
def test_numbers_that_are_none_are_refused_by_name(
    kind: str, source: dict[str, Tensor], target: nn.Module, tmp_path: Path
) -> None:
    key, change, words = BAD[kind]
    state = {name: value.clone() for name, value in source.items()}
    state[key] = change(state[key])
    torch.save(prefixed(state, "module."), tmp_path / "w.pth")
    before = {name: value.clone() for name, value in target.state_dict().items()}
    with pytest.raises(WeightsError, match=rf"w\.pth: '{key}' .*{words}"):
        load(target, tmp_path / "w.pth")
    assert all(torch.equal(before[name], value) for name, value in target.state_dict().items())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_are_cast(
    dtype: torch.dtype, source: dict[str, Tensor], target: nn.Module, tmp_path: Path
) -> None:
    state = {k: v.to(dtype) if v.is_floating_point() else v for k, v in source.items()}
    torch.save(state, tmp_path / "w.pth")
    load(target, tmp_path / "w.pth", whole=True)
    assert all(v.dtype == source[key].dtype for key, v in target.state_dict().items())
    assert torch.equal(target.state_dict()["classifier.weight"], state["classifier.weight"].float())


def test_add_and_export_refuse_them_too(
    small_model: Build, tmp_path: Path, no_weights: object, capsys: pytest.CaptureFixture[str]
) -> None:
    state = small_model(5).state_dict()
    state["bottleneck.running_mean"][2] = float("nan")
    torch.save(state, tmp_path / "w.pth")
    words = "'bottleneck.running_mean' has 1 NaN and 0 infinite of its 512 values"
    with pytest.raises(WeightsError, match=words):
        entry_of_file(tmp_path / "w.pth", NAME)
    with pytest.raises(WeightsError, match=words):
        export(tmp_path / "w.pth", NAME, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert main(["weights", "add", str(tmp_path / "w.pth"), "--name", NAME]) == 2
    assert words in capsys.readouterr().err
    assert not nr3d.weights.user_index().exists()
