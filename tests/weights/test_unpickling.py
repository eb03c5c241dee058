"""Pickles that were made to harm: refused within bounds of time and memory, and nothing is run."""

from __future__ import annotations

import pickle
import tracemalloc
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from nr3d.errors import WeightsError
from nr3d.weights import read_checkpoint, read_tensors


def archive(path: Path, program: bytes, numbers: bytes = bytes(16)) -> Path:
    """Write a checkpoint whose pickle is the given one."""
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("w/data.pkl", program)
        file.writestr("w/data/0", numbers)
        file.writestr("w/version", b"3\n")
    return path


def tensor(size: str, stride: str, offset: bytes = b"K\0", claimed: bytes = b"K\4") -> bytes:
    """Write the program of a tensor; size and stride in pickle's text, such as ``K\\x04\\x85``."""
    storage = (
        b"(X\7\0\0\0storagectorch\nFloatStorage\nX\1\0\0\0" + b"0X\3\0\0\0cpu" + claimed + b"tQ"
    )
    rebuilt = b"ctorch._utils\n_rebuild_tensor_v2\n("
    parts = (rebuilt, storage, offset, size.encode("latin1"), stride.encode("latin1"))
    return b"".join(parts) + b"\x89ccollections\nOrderedDict\n)RtR"


def of(value: bytes) -> bytes:
    return b"\x80\x02}X\1\0\0\0a" + value + b"s."


BILLION = b"]" + b"q\x000(h\0h\0h\0h\0h\0l" * 60
DEEP_KEY = b")" + b"\x85" * 5000

PROGRAMS = {
    "the good one": (of(tensor("K\4\x85", "K\1\x85")), ""),
    "a tensor beyond its storage": (of(tensor("K\5\x85", "K\1\x85")), "beyond them"),
    "an offset beyond": (of(tensor("K\4\x85", "K\1\x85", b"K\1")), "beyond them"),
    "a negative offset": (of(tensor("K\4\x85", "K\1\x85", b"J\xff\xff\xff\xff")), "no storage"),
    "a stride beyond": (of(tensor("K\2\x85", "M\0\1\x85")), "beyond them"),
    "a huge expanded shape": (
        of(tensor("J\0\0\0\x7fJ\0\0\0\x7f\x86", "K\0K\0\x86")),
        "beyond them",
    ),
    "a huge shape of nothing": (
        of(tensor("K\0\x8a\6\0\0\0\0\0\1\x86", "K\1K\1\x86")),
        "of the size",
    ),
    "more numbers than the member": (
        of(tensor("K\4\x85", "K\1\x85", claimed=b"J\xff\xff\xff\x7f")),
        "claims 8,589,934,588 bytes in data/0, which has 16",
    ),
    "two dimensions, one stride": (of(tensor("K\2K\2\x86", "K\1\x85")), "do not fit each other"),
    "a call of a text": (of(b"X\1\0\0\0b)R"), "calls something other than a function"),
    "system": (of(b"cposix\nsystem\nX\2\0\0\0id\x85R"), "asks for posix.system"),
    "eval": (of(b"cbuiltins\neval\nX\1\0\0\0" + b"1\x85R"), "asks for builtins.eval"),
    "torch's own loader": (of(b"ctorch\nload\nX\1\0\0\0a\x85R"), "asks for torch.load"),
    "a lazy module": (of(b"ctorch\nonnx\nX\1\0\0\0a\x85R"), "asks for torch.onnx"),
    "a name with controls": (of(b"c\x1b[31m\n\x07\n)R"), r"asks for '\\x1b\[31m.\\x07'"),
    "a name without end": (of(b"c" + b"a" * 5000), "a name without an end"),
    "a billion laughs": (of(BILLION), "more than 1,000,000 values"),
    "a billion laughs as a type": (
        of(BILLION + b"cnumpy\ndtype\nh\0\x85R"),
        "is not a readable checkpoint",
    ),
    "a device of laughs": (
        b"\x80\x02" + BILLION + b"0ctorch\ndevice\nh\0\x85R.",
        "it has a list, expected a text",
    ),
    "a list in itself": (of(b"]q\0h\0a"), "nested deeper than 100"),
    "deeply nested": (of(b"]" + b"\x85" * 5000), "nested deeper than 100"),
    "a nested key": (b"\x80\x02}" + DEEP_KEY + b"K\1s.", "a key that is a tuple"),
    "a key that is a list": (b"\x80\x02}]K\1s.", "a key that is a list"),
    "copies again and again": (
        of(
            b"X\0\0\x10\0" + b"a" * (1 << 20) + b"q\0X\6\0\0\0latin1q\1"
            b"c_codecs\nencode\nq\2" + b"h\2h\0h\1\x86R" * 1000
        ),
        "copies the same values again and again",
    ),
    "a long text": (of(b"X\xff\xff\xff\xffa"), "ends in the middle of its pickle"),
    "a longer one": (of(b"\x8d\xff\xff\xff\xff\xff\xff\xff\x7fa"), "in the middle of its pickle"),
    "a long integer": (of(b"\x8b\0\2\0\0" + bytes(511) + b"\1"), "is not a|holds no weights"),
    "a longer integer": (of(b"\x8b\0\0\1\0" + bytes(65536)), "a whole number of 65536 bytes"),
    "no value": (b"\x80\x02.", "its pickle is damaged"),
    "a mark left over": (b"\x80\x02(}.", "values are left over"),
    "a memo that is not there": (of(b"h\7"), "its pickle is damaged"),
    "a text that is none": (of(b"X\2\0\0\0\xff\xfe"), "is not a readable checkpoint"),
    "a protocol to come": (b"\x80\x09}.", "of an unknown protocol"),
    "an old instruction": (of(b"I1\n"), "an instruction 0x49"),
    "a list for a tensor": (of(b"ctorch._utils\n_rebuild_tensor_v2\n(]]]]tR"), "is not a readable"),
    "parameters in each other": (
        of(b"ctorch._tensor\n_rebuild_from_type_v2\nq\0(h\0NNNtR"),
        "of an unknown kind",
    ),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_hostile_pickle_is_refused(name: str, tmp_path: Path) -> None:
    program, words = PROGRAMS[name]
    path = archive(tmp_path / "w.pth", program)
    tracemalloc.start()
    try:
        if not words:
            assert read_tensors(path)["a"].tolist() == [0, 0, 0, 0]
            return
        with pytest.raises(WeightsError, match=words) as caught:
            read_tensors(path)
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 200 << 20
    assert str(path) in str(caught.value)
    assert "( )" not in str(caught.value)
    assert len(str(caught.value)) < 1200
    assert str(caught.value).isprintable()


def test_a_program_of_many_instructions_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nr3d.weights.unpickling._MOST_INSTRUCTIONS", 2000)
    path = archive(tmp_path / "w.pth", b"\x80\x02" + b"N0" * 1500 + b"}.")
    with pytest.raises(WeightsError, match="more than 2,000 instructions"):
        read_tensors(path)


# What people have in their checkpoints


@pytest.mark.parametrize("save", [torch.save, lambda c, p: torch.save(c, p, pickle_protocol=4)])
def test_numpy_texts_are_plain_texts(tmp_path: Path, save: Callable[..., None]) -> None:
    weight = torch.rand(2)
    save(
        {np.str_("layer.wéight"): weight, "who": np.str_("me"), "n": [np.int32(4)]}, tmp_path / "w"
    )
    content = read_checkpoint(tmp_path / "w")
    assert list(content) == ["layer.wéight", "who", "n"]
    assert type(next(iter(content))) is str
    assert (content["who"], content["n"]) == ("me", [4])


@pytest.mark.parametrize("value", [np.bytes_(b"a"), np.datetime64("2026-01-01"), np.complex64(1j)])
def test_other_numpy_scalars_are_refused_with_the_reason(tmp_path: Path, value: Any) -> None:
    torch.save({"a": torch.ones(1), "b": value}, tmp_path / "w.pth")
    with pytest.raises(
        WeightsError, match=r"w\.pth .*(NumPy scalar that is neither a number|asks for)"
    ):
        read_checkpoint(tmp_path / "w.pth")


def test_what_torch_itself_puts_into_checkpoints_is_read(tmp_path: Path) -> None:
    model = torch.nn.Linear(2, 2)
    optimizer = torch.optim.Adam(model.parameters(), amsgrad=True)
    model(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    scheduler = torch.optim.lr_scheduler.MultiStepLR(optimizer, [2, 4])
    content = {
        "state_dict": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "scheduler": scheduler.state_dict(),
        "torch": torch.__version__,  # a class of its own
        "device": torch.device("cpu"),
        "names": OrderedDict([("a", 1)]),
    }
    torch.save(content, tmp_path / "w.pth")
    found = read_checkpoint(tmp_path / "w.pth")
    optimizer.load_state_dict(found["optimizer"])
    scheduler.load_state_dict(found["scheduler"])
    assert scheduler.get_last_lr() == [0.001]
    assert found["torch"] == str(torch.__version__)
    assert type(found["torch"]) is str
    assert found["names"] == {"a": 1}


def test_python_2s_checkpoints_are_read(tmp_path: Path) -> None:
    """Texts were bytes there, and modules had other names."""
    program = b"\x80\x02}U\1a" + tensor("K\4\x85", "K\1\x85") + b"s."
    assert read_tensors(archive(tmp_path / "w.pth", program))["a"].shape == (4,)


def test_the_pickles_above_are_pickles() -> None:
    assert pickle.loads(of(b"]K\1a")) == {"a": [1]}
