"""Checkpoint files: read safely whatever wrote them, written whole or not at all."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from nr3d.errors import WeightsError
from nr3d.host import torchreid
from nr3d.weights import read_checkpoint, read_tensors, write_checkpoint


class Malicious:
    """Runs a command when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.marker}",)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_pickle_with_code_is_refused_by_name_and_not_run(tmp_path: Path, zipped: bool) -> None:
    torch.save(
        {"state_dict": Malicious(tmp_path / "ran")},
        tmp_path / "w.pth",
        _use_new_zipfile_serialization=zipped,
    )
    with pytest.raises(WeightsError, match=r"w.pth asks for (posix|nt).system .* convert it there"):
        read_checkpoint(tmp_path / "w.pth")
    assert not (tmp_path / "ran").exists()


def test_the_conversion_in_the_message_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = {"a": torch.arange(3.0)}
    torch.save({"state_dict": state, "args": argparse.Namespace(lr=1)}, tmp_path / "w.pth")
    with pytest.raises(WeightsError, match=r"asks for argparse\.Namespace") as caught:
        read_checkpoint(tmp_path / "w.pth")
    code = str(caught.value).split('python -c "')[1].rstrip('"')
    monkeypatch.chdir(tmp_path)
    exec(code)
    assert torch.equal(read_tensors(tmp_path / "weights.pth")["a"], state["a"])


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize(
    "number",
    [np.float64(0.625), np.float32(-0.5), np.float16(2), np.int64(-7), np.uint8(9), np.bool_(True)],
)
def test_a_numpy_scalar_becomes_a_plain_number(
    tmp_path: Path, number: np.generic, zipped: bool
) -> None:
    torch.save(
        {"state_dict": {"a": torch.ones(2)}, "rank1": number},
        tmp_path / "w.pth",
        _use_new_zipfile_serialization=zipped,
    )
    value = read_checkpoint(tmp_path / "w.pth")["rank1"]
    assert value == number.item()
    assert type(value) is type(number.item())


def test_numpy_1s_name_of_a_scalar_is_known(tmp_path: Path) -> None:
    torch.save({"rank1": np.float64(0.5)}, tmp_path / "w.pth", _use_new_zipfile_serialization=False)
    content = (tmp_path / "w.pth").read_bytes()
    new, old = b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n"
    assert (new in content) != (old in content)
    for name in (new, old):
        path = tmp_path / "renamed.pth"
        path.write_bytes(content.replace(new, name).replace(old, name))
        assert read_checkpoint(path) == {"rank1": 0.5}


def test_a_numpy_array_of_objects_is_refused(tmp_path: Path) -> None:
    torch.save({"a": np.array([object()], dtype=object)}, tmp_path / "w.pth")
    with pytest.raises(WeightsError, match=r"asks for numpy\.\S+_reconstruct"):
        read_checkpoint(tmp_path / "w.pth")


def test_torchreids_own_checkpoint_is_read(tmp_path: Path) -> None:
    """Its rank-1 is a NumPy scalar, for which its own loader fails."""
    model = torch.nn.Linear(2, 2)
    torchreid.utils.save_checkpoint(
        {"state_dict": model.state_dict(), "epoch": 3, "rank1": np.float64(0.25)}, str(tmp_path)
    )
    (path,) = tmp_path.glob("model*")
    checkpoint = read_checkpoint(path)
    assert (checkpoint["rank1"], checkpoint["epoch"]) == (0.25, 3)
    assert torch.equal(read_tensors(path)["weight"], model.weight)


def test_safetensors_are_known_by_their_content(tmp_path: Path) -> None:
    save_file({"a": torch.arange(3.0)}, tmp_path / "w.pth")
    assert torch.equal(read_tensors(tmp_path / "w.pth")["a"], torch.arange(3.0))
    cut = tmp_path / "cut.safetensors"
    cut.write_bytes((tmp_path / "w.pth").read_bytes()[:-4])
    with pytest.raises(WeightsError, match=r"cut.safetensors is not a readable safetensors file"):
        read_tensors(cut)


@pytest.mark.parametrize("content", [b"", b"<html>quota</html>", b"PK\x03\x04 cut short"])
def test_a_damaged_file_is_one_clear_error(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "w.pth").write_bytes(content)
    with pytest.raises(WeightsError, match=r"w.pth is not a (readable|weights-only) checkpoint"):
        read_checkpoint(tmp_path / "w.pth")


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
def test_a_file_cut_short_is_one_clear_error(tmp_path: Path, zipped: bool, share: float) -> None:
    path = tmp_path / "w.pth"
    torch.save({"a": torch.rand(5000)}, path, _use_new_zipfile_serialization=zipped)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    with pytest.raises(WeightsError, match=r"w\.pth is not a"):
        read_checkpoint(path)


def test_what_is_no_checkpoint_is_refused(tmp_path: Path) -> None:
    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(WeightsError, match="holds a list, expected a state dict"):
        read_checkpoint(tmp_path / "list.pth")
    torch.save({"epoch": 1}, tmp_path / "empty.pth")
    with pytest.raises(WeightsError, match=r"empty.pth holds no weights.* it has epoch"):
        read_tensors(tmp_path / "empty.pth")
    with pytest.raises(WeightsError, match="No checkpoint at"):
        read_checkpoint(tmp_path / "nothing.pth")


def test_a_write_that_fails_keeps_the_old_file_and_leaves_no_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "model.pth"
    write_checkpoint({"epoch": 1}, path)

    def full_disk(state: Any, file: Any) -> None:
        Path(file).write_bytes(b"half of it")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full_disk)
    with pytest.raises(OSError, match="No space left"):
        write_checkpoint({"epoch": 2}, path)
    monkeypatch.undo()
    assert read_checkpoint(path) == {"epoch": 1}
    assert list(tmp_path.iterdir()) == [path]


def test_a_written_file_is_readable_as_others_are(tmp_path: Path) -> None:
    write_checkpoint({"epoch": 1}, tmp_path / "a.pth")
    (tmp_path / "b.txt").write_text("b")
    assert (tmp_path / "a.pth").stat().st_mode == (tmp_path / "b.txt").stat().st_mode
