"""Checkpoints of every format, manifests and indexes: flips, cuts, surgery on zips and headers.

A file with checksums must lead to the same tensors or be refused. Files from before torch 1.6,
foreign safetensors files and rewritten pickles have no checksums: other tensors may be read from
them, which is counted separately.
"""

from __future__ import annotations

import io
import json
import os
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save
from torch import Tensor, nn

from fuzzing import RIGHT, UNCHECKED, WrongError, damaged, refusal
from nr3d.config import yaml_text
from nr3d.errors import WeightsError
from nr3d.weights import (
    Metric,
    Source,
    WeightsEntry,
    available,
    entry_of,
    load,
    read_checkpoint,
    read_tensors,
)
from nr3d.weights.safetensors_file import CHECKSUM_KEY, write_safetensors

NAME = "w.pth"


class Small(nn.Module):
    """A network with the parameter names of nr3d's networks but few tensors."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = nn.Sequential()
        self.backbone.add_module("conv1", nn.Conv2d(3, 4, 3))
        self.bottleneck = nn.BatchNorm1d(4)
        self.classifier = nn.Linear(4, 5, bias=False)


ENTRY = WeightsEntry(
    "nr3d_resnet18_ibn.mine",
    (Source(url="https://example.org/w.pth", sha256="0123456789abcdef"), Source(path="w.pth")),
    sha256="f" * 64,
    size=12,
    layout="nr3d",
    trained_on=("mars",),
    identities=5,
    input_size=(224, 112),
    frames=4,
    mean=(0.5, 0.5, 0.5),
    std=(0.2, 0.2, 0.2),
    metrics=(Metric("mars", "torchreid", "measured", {"rank-1": 0.5, "mAP": 0.25}),),
    config={"train": {"lr": 1e-4}},
    versions={"nr3d": "0.1.0"},
)


def make(folder: Path) -> Callable[[np.random.Generator], str]:
    """Prepare good files, and return the function that damages, reads and judges one of them."""
    torch.manual_seed(0)
    good = _good_files(Small().state_dict(), folder)
    names, contents = list(good), {}
    for name, data in good.items():
        (folder / NAME).write_bytes(data)
        contents[name] = read_checkpoint(folder / NAME)
    os.environ["NR3D_WEIGHTS_INDEX"] = str(folder / "index.yaml")
    os.environ["NR3D_OFFLINE"] = "1"
    index = yaml_text({ENTRY.name: ENTRY.to_mapping()}).encode()
    (folder / "index.yaml").write_bytes(index)
    entries = available()
    path, model = folder / NAME, Small()

    def one(rng: np.random.Generator) -> str:
        kind = int(rng.integers(len(names) + 1))
        if kind == len(names):
            return _index_of(damaged(index, rng), folder / "index.yaml", entries)
        name = names[kind]
        data, checked = _damage(name, good[name], rng)
        path.write_bytes(data)
        return _outcome(path, model, contents[name], checked)

    return one


def _good_files(weights: dict[str, Tensor], folder: Path) -> dict[str, bytes]:
    optimizer = torch.optim.Adam(Small().parameters())
    ours = {
        "state_dict": weights,
        "optimizer": optimizer.state_dict(),
        "epoch": 3,
        "facts": {"architecture": "nr3d_resnet18_ibn", "results": {"mars": {"mAP": 0.5}}},
        "versions": {"nr3d": "0.1.0"},
    }
    torchreids = {"state_dict": OrderedDict(weights), "rank1": np.float64(0.5)}
    held = json.dumps({ENTRY.name: ENTRY.to_mapping()})
    write_safetensors(weights, {"format": "pt", "nr3d.entry": held}, folder / "ours")
    files = {
        "ours": _saved(ours),
        "bare": _saved(dict(weights)),
        "torchreid": _saved(torchreids),
        "protocol 4": _saved({"state_dict": weights}, pickle_protocol=4),
        "legacy": _saved(ours, _use_new_zipfile_serialization=False),
        "exported": (folder / "ours").read_bytes(),
        "foreign": save(dict(weights), {"format": "pt"}),
    }
    (folder / "ours").unlink()
    return files


def _saved(content: Any, **how: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer, **how)
    return buffer.getvalue()


# Damage


def _damage(name: str, data: bytes, rng: np.random.Generator) -> tuple[bytes, bool]:
    """Return damaged bytes, and whether the checksums of the file must reveal the damage."""
    zipped = data[:2] == b"PK"
    choice = int(rng.integers(6))
    if zipped and choice == 0:
        return _rezipped(data, rng), False  # with the checksums of its new content
    if zipped and choice == 1:
        return _pickle_edited(data, rng), False
    if zipped and choice == 2:
        return _directory_edited(data, rng), True
    if name in ("foreign", "exported") and choice <= 2:
        edited = _header_edited(data, rng)
        return edited, CHECKSUM_KEY.encode() in edited
    if choice == 3:
        return _swapped(data, rng), name not in ("legacy", "foreign")
    return damaged(data, rng), name not in ("legacy", "foreign")


def _members(data: bytes) -> list[tuple[str, bytes]]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return [(name, archive.read(name)) for name in archive.namelist()]


def _zipped(members: list[tuple[str, bytes]], method: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content in members:
            info = zipfile.ZipInfo(name)
            info.compress_type = method
            archive.writestr(info, content)
    return buffer.getvalue()


def _rezipped(data: bytes, rng: np.random.Generator) -> bytes:
    """Return an archive whose members are renamed, doubled, removed, changed or compressed."""
    members = _members(data)
    place = int(rng.integers(len(members)))
    name, content = members[place]
    edit = int(rng.integers(6))
    if edit == 0:
        members[place] = damaged(name.encode(), rng).decode("latin1").replace("\0", "_"), content
    elif edit == 1:
        members.append((name, content))
    elif edit == 2:
        del members[place]
    elif edit == 3:
        members[place] = name, damaged(content, rng)
    elif edit == 4:
        members[place] = name, content + bytes(int(rng.integers(1, 1 << 20)))
    method = zipfile.ZIP_DEFLATED if edit == 5 else zipfile.ZIP_STORED
    return _zipped(members, method)


def _pickle_edited(data: bytes, rng: np.random.Generator) -> bytes:
    """Return an archive whose pickle has other instructions but valid checksums."""
    members = _members(data)
    place = next(i for i, (name, _) in enumerate(members) if name.endswith("data.pkl"))
    name, pickled = members[place]
    edited = bytearray(pickled)
    for _ in range(int(rng.integers(1, 4))):
        at = int(rng.integers(len(edited)))
        piece = _INSTRUCTIONS[int(rng.integers(len(_INSTRUCTIONS)))]
        if rng.integers(2):
            edited[at : at + 1] = piece
        else:
            edited[at:at] = piece
    members[place] = name, bytes(edited)
    return _zipped(members)


_INSTRUCTIONS = (
    *(b"(", b".", b"0", b"2", b"N", b"R", b"\x81", b"b", b"s", b"u", b"a", b"e", b"t", b"l", b"Q"),
    *(b"]", b"}", b")", b"\x8f", b"\x90", b"\x93", b"\x94", b"\x85", b"\x86", b"\x87", b"h\0"),
    *(b"q\0", b"K\xff", b"M\xff\xff", b"J\xff\xff\xff\x7f", b"J\0\0\0\x80", b"G" + b"\xff" * 8),
    *(b"X\xff\xff\xff\x7f", b"\x8b\xff\xff\xff\x7f", b"\x8d" + b"\xff" * 8, b"B\xff\xff\xff\x7f"),
    *(
        b"\x8a\x08" + b"\xff" * 7 + b"\x7f",
        b"cos\nsystem\n",
        b"cbuiltins\neval\n",
        b"ctorch\nload\n",
    ),
    *(b"ctorch._utils\n_rebuild_tensor_v2\n", b"ctorch\nFloatStorage\n", b"ctorch\nSize\n"),
    *(
        b"ccollections\nOrderedDict\n",
        b"cbuiltins\nset\n",
        b"c_codecs\nencode\n",
        b"ctorch\nint8\n",
    ),
)


def _directory_edited(data: bytes, rng: np.random.Generator) -> bytes:
    """Return an archive whose directory, or the header of a member, is damaged."""
    edited = bytearray(data)
    start = data.rindex(b"PK\x05\x06")
    first = int.from_bytes(data[start + 16 : start + 20], "little")
    if rng.integers(3):
        edited[first:] = damaged(data[first:], rng)
        return bytes(edited)
    headers = [at for at in range(first) if data.startswith(b"PK\x03\x04", at)]
    at = headers[int(rng.integers(len(headers)))]
    edited[at : at + 30] = damaged(data[at : at + 30], rng)
    return bytes(edited)


def _header_edited(data: bytes, rng: np.random.Generator) -> bytes:
    """Return a safetensors file with a changed header."""
    length = int.from_bytes(data[:8], "little")
    text, numbers = data[8 : 8 + length], data[8 + length :]
    header = json.loads(text)
    names = [name for name in header if name != "__metadata__"]
    about = header[names[int(rng.integers(len(names)))]]
    edit = int(rng.integers(7))
    huge = int(rng.choice([0, 1, 5, 1 << 31, (1 << 62) + 1]))
    if edit == 0:
        about["shape"] = [huge, *about["shape"]]
    elif edit == 1:
        about["data_offsets"] = [about["data_offsets"][0], huge]
    elif edit == 2:
        about["dtype"] = str(rng.choice(["F16", "F64", "I32", "BF16", "F8_E4M3", "C64", "X"]))
    elif edit == 3:
        other = names[int(rng.integers(len(names)))]
        header[other] = {**header[other], "data_offsets": about["data_offsets"]}
    elif edit == 4:
        header["__metadata__"] = [5, {"a": 5}, {"nr3d.entry": "["}][int(rng.integers(3))]
    elif edit == 5:
        text = damaged(text, rng)
    else:
        length = [huge, (1 << 63) - 1, len(data) - 8][int(rng.integers(3))]
        return length.to_bytes(8, "little") + text + numbers
    if edit < 5:
        text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + numbers


def _swapped(data: bytes, rng: np.random.Generator) -> bytes:
    """Return a copy of a file with two blocks swapped."""
    size = int(rng.choice([4, 8, 64, 512]))
    one, other = sorted(int(rng.integers(max(1, len(data) - size))) for _ in range(2))
    other = max(other, one + size)
    return (
        data[:one]
        + data[other : other + size]
        + data[one + size : other]
        + data[one : one + size]
        + data[other + size :]
    )


# Outcome


def _outcome(path: Path, model: nn.Module, content: dict[str, Any], checked: bool) -> str:
    try:
        found: dict[str, Any] | None = read_checkpoint(path)
    except WeightsError as error:
        found, outcome = None, refusal(error, path.name)
    for use in (read_tensors, entry_of, lambda place: load(model, place)):
        try:
            use(path)
        except WeightsError as error:
            refusal(error, path.name)
    if found is None:
        return outcome
    if _equal(found, content):
        return RIGHT
    if checked:
        raise WrongError("other content than was saved, without an error")
    return UNCHECKED


def _equal(one: Any, other: Any) -> bool:
    if type(one) is not type(other):
        return False
    if isinstance(one, Tensor):
        return one.dtype == other.dtype and torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_equal(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(_equal, one, other))
    return bool(one == other)


def _index_of(data: bytes, path: Path, entries: dict[str, WeightsEntry]) -> str:
    path.write_bytes(data)
    try:
        found = available()
    except WeightsError as error:
        return refusal(error, path.name)
    return RIGHT if found == entries else UNCHECKED
