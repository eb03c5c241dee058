"""Damaged checkpoint files: the same tensors or refused, whichever byte is not as it was."""

from __future__ import annotations

import io
import json
import resource
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from nr3d.errors import WeightsError
from nr3d.weights import read_checkpoint, read_tensors
from nr3d.weights.safetensors_file import CHECKSUM_KEY, write_safetensors

STATE = {
    "conv.weight": torch.linspace(-1, 1, 60).reshape(4, 3, 5),
    "bn.running_var": torch.rand(7) + 0.5,
    "bn.num_batches_tracked": torch.tensor(3),
}


def same(state: dict[str, Tensor]) -> bool:
    return state.keys() == STATE.keys() and all(torch.equal(state[k], v) for k, v in STATE.items())


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    torch.save({"state_dict": STATE, "epoch": 3}, tmp_path / "w.pth")
    return tmp_path / "w.pth"


@pytest.fixture
def ours(tmp_path: Path) -> Path:
    write_safetensors(STATE, {"format": "pt", "nr3d.entry": "{}"}, tmp_path / "w.safetensors")
    return tmp_path / "w.safetensors"


@pytest.mark.parametrize("kind", ["saved", "ours"])
def test_every_flipped_bit_is_found_or_does_not_matter(
    kind: str, request: pytest.FixtureRequest
) -> None:
    path = request.getfixturevalue(kind)
    data = path.read_bytes()
    assert same(read_tensors(path))
    found = 0
    places = range(0, len(data), 3 if kind == "saved" else 1)
    for place in places:
        flipped = bytearray(data)
        flipped[place] ^= 1 << place % 8
        path.write_bytes(flipped)
        try:
            assert same(read_tensors(path)), place
        except WeightsError as error:
            assert str(path) in str(error)
            found += 1
    # Of a zip archive, what is padded and what nobody reads does not matter.
    needed = len(data) - 64 if kind == "ours" else sum(t.nbytes for t in STATE.values())
    assert found > needed / len(data) * len(places)


def test_a_flipped_bit_is_told_with_the_checksums(saved: Path, ours: Path) -> None:
    for path in (saved, ours):
        data = bytearray(path.read_bytes())
        data[data.index(STATE["conv.weight"].numpy().tobytes()) + 5] ^= 4
        path.write_bytes(data)
        with pytest.raises(WeightsError, match=r"CRC-32 [0-9a-f]{8}, [0-9a-f]{8} was written"):
            read_tensors(path)


def test_a_member_that_no_tensor_needs_is_checked_too(saved: Path) -> None:
    with zipfile.ZipFile(saved) as archive:
        (member,) = [info for info in archive.infolist() if info.filename.endswith("/version")]
    data = bytearray(saved.read_bytes())
    start = member.header_offset + 30
    data[data.index(b"3\n", start)] ^= 1
    saved.write_bytes(data)
    with pytest.raises(WeightsError, match="its member 'version' has the CRC-32"):
        read_tensors(saved)


@pytest.mark.skipif(
    not hasattr(torch.serialization, "set_crc32_options"), reason="torch always writes them"
)
def test_a_file_saved_without_checksums_is_read_and_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "w.pth"
    torch.serialization.set_crc32_options(False)
    try:
        torch.save(STATE, path)
    finally:
        torch.serialization.set_crc32_options(True)
    assert same(read_tensors(path))
    assert f"{path} was saved without checksums" in caplog.text


def rezipped(
    path: Path, change: Callable[[str, bytes], tuple[str, bytes]] = lambda n, d: (n, d), **how: Any
) -> Path:
    """Write an archive's members anew."""
    with zipfile.ZipFile(path) as old:
        members = [change(name, old.read(name)) for name in old.namelist()]
    with zipfile.ZipFile(path, "w", **how) as new:
        for name, data in members:
            new.writestr(name, data)
    return path


def test_an_archive_zipped_anew_is_read(saved: Path) -> None:
    assert same(read_tensors(rezipped(saved)))


def test_a_compressed_member_is_refused_before_it_is_expanded(saved: Path) -> None:
    def bomb(name: str, data: bytes) -> tuple[str, bytes]:
        return name, bytes(64 << 20) if name.endswith("data/0") else data

    rezipped(saved, bomb, compression=zipfile.ZIP_DEFLATED)
    with pytest.raises(WeightsError, match=r"is compressed, which torch\.save never"):
        read_tensors(saved)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda n, d: (n, d + b"\0" * 4 if "data/" in n else d), "claims 240 bytes in data/0"),
        (lambda n, d: (n, d[:-4] if "data/" in n else d), "claims 240 bytes in data/0"),
        (lambda n, d: (n.replace("data/1", "data/9"), d), "has no member 'data/1'"),
        (lambda n, d: (n.replace("w/version", "v/version"), d), "lie in 2 folders"),
        (lambda n, d: (n, b"up" if "byteorder" in n else d), "neither little nor big"),
    ],
)
def test_members_that_are_not_as_the_pickle_says(
    saved: Path, change: Callable[[str, bytes], tuple[str, bytes]], words: str
) -> None:
    with pytest.raises(WeightsError, match=words):
        read_tensors(rezipped(saved, change))


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_members_of_one_name_are_refused(saved: Path) -> None:
    with zipfile.ZipFile(saved, "a") as archive:
        archive.writestr("w/data/0", bytes(240))
    with pytest.raises(WeightsError, match="two members 'data/0'"):
        read_tensors(saved)


def test_a_header_that_contradicts_the_directory_is_refused(saved: Path) -> None:
    rezipped(saved)
    data = saved.read_bytes()
    local = data.index(b"w/data/0")
    other = data.index(b"w/data/1")
    swapped = bytearray(data)
    swapped[local : local + 8], swapped[other : other + 8] = b"w/data/1", b"w/data/0"
    saved.write_bytes(swapped)
    with pytest.raises(WeightsError, match="has another name or kind in its own header"):
        read_tensors(saved)
    swapped = bytearray(data)
    swapped[local - 30 + 18] ^= 1  # its size
    saved.write_bytes(swapped)
    with pytest.raises(WeightsError, match="another size or CRC-32 in its own header"):
        read_tensors(saved)


# Safetensors


def header_of(path: Path) -> tuple[dict[str, Any], bytes]:
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    return json.loads(data[8 : 8 + length]), data[8 + length :]


def write_header(path: Path, header: str, data: bytes) -> None:
    text = header.encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)


@pytest.fixture
def foreign(tmp_path: Path) -> Path:
    save_file(STATE, tmp_path / "w.safetensors")
    return tmp_path / "w.safetensors"


def test_the_safetensors_of_others_have_no_checksum_and_are_read(foreign: Path) -> None:
    assert same(read_tensors(foreign))


@pytest.mark.parametrize("kind", ["saved", "ours", "foreign"])
def test_what_was_read_stays_when_the_file_is_written_over(
    kind: str, request: pytest.FixtureRequest
) -> None:
    path = request.getfixturevalue(kind)
    found = read_tensors(path)
    path.write_bytes(bytes(path.stat().st_size))
    assert same(found)


def test_types_of_safetensors_are_those_of_its_library(tmp_path: Path) -> None:
    types = [torch.bool, torch.int8, torch.float16, torch.bfloat16, torch.float64, torch.int64]
    types += [torch.uint16, torch.int32, torch.float8_e4m3fn, torch.float8_e5m2]
    state = {f"t{i}": torch.arange(i + 1).to(dtype) for i, dtype in enumerate(types)}
    state["scalar"], state["empty"] = torch.tensor(2.5), torch.zeros(0, 3)
    save_file(state, tmp_path / "w.safetensors", metadata={"odd": "x"})
    found = read_tensors(tmp_path / "w.safetensors")
    assert found.keys() == state.keys()
    for key, value in state.items():
        assert found[key].dtype == value.dtype
        assert torch.equal(found[key].float(), value.float()), key


def test_ours_are_safetensors_to_others(ours: Path) -> None:
    from safetensors.torch import load_file

    assert same(load_file(ours))
    header, _ = header_of(ours)
    data = ours.read_bytes()
    written = header["__metadata__"][CHECKSUM_KEY]
    zeros = data.replace(
        f'"{CHECKSUM_KEY}":"{written}"'.encode(), b'"%s":"00000000"' % b"nr3d.crc32"
    )
    assert f"{zlib.crc32(zeros):08x}" == written


@pytest.mark.parametrize("length", [2**63 - 1, 2**64 - 1, 100_000_001, 10_000])
def test_a_header_longer_than_its_file_is_refused(foreign: Path, length: int) -> None:
    foreign.write_bytes(length.to_bytes(8, "little") + foreign.read_bytes()[8:])
    with pytest.raises(WeightsError, match=rf"a header of {length:,} bytes in a file of"):
        read_tensors(foreign)


def test_a_large_header_is_refused_unread(foreign: Path) -> None:
    write_header(foreign, "{" + " " * (9 << 20) + "}", b"")
    with pytest.raises(WeightsError, match="expected at most 8,388,608"):
        read_tensors(foreign)


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("shape", [2**63, 2**63], "has the shape"),
        ("shape", [10**6, 10**6], "in 240 bytes"),
        ("shape", [-4, -15], "has the shape"),
        ("shape", "many", "has the shape 'many'"),
        ("shape", [True, 60], "has the shape"),
        ("dtype", "F1", "of the type 'F1', which is unknown"),
        ("dtype", [], "which is unknown"),
        ("data_offsets", [0, 10**20], "lies at"),
        ("data_offsets", [4, 244], "begins at byte"),
        ("data_offsets", [240, 0], "bytes"),
        ("data_offsets", None, "lies at None"),
    ],
)
def test_a_tensor_in_a_header_that_cannot_be(
    foreign: Path, field: str, value: object, words: str
) -> None:
    header, data = header_of(foreign)
    header["conv.weight"][field] = value
    write_header(foreign, json.dumps(header), data)
    with pytest.raises(WeightsError, match=words):
        read_tensors(foreign)


@pytest.mark.parametrize(
    ("header", "words"),
    [
        ('{"a":' * 100_000, "cannot be read as a safetensors file"),
        ("{" + '"a":[' + "[" * 100_000, "cannot be read as a safetensors file"),
        (
            '{"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},"a":1}',
            "the key 'a' is given twice",
        ),
        ('{"a":5}', "'a' is of the type None"),
        ('{"__metadata__":[1]}', "its metadata are not texts by names"),
        ('{"__metadata__":{"a":1}}', "its metadata are not texts by names"),
        ('{"__metadata__":{"nr3d.crc32":"0"}}', "checksum"),
        ('{"a":{"dtype":"U8","shape":[1' + "0" * 5000 + '],"data_offsets":[0,0]}}', "cannot be"),
    ],
)
def test_a_header_that_is_none(tmp_path: Path, header: str, words: str) -> None:
    write_header(tmp_path / "w.safetensors", header, b"")
    with pytest.raises(WeightsError, match=words) as caught:
        read_tensors(tmp_path / "w.safetensors")
    assert len(str(caught.value)) < 600


def test_checksums_take_little_memory(tmp_path: Path) -> None:
    torch.save({"a": torch.zeros(16 << 20), "b": torch.ones(2)}, tmp_path / "w.pth")  # 64 MB
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    read_tensors(tmp_path / "w.pth")
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 100 << 10, "the tensors once, and not their bytes beside them"


# Legacy files


def test_files_from_before_torch_1_6_are_read_and_checked_for_their_lengths(tmp_path: Path) -> None:
    path = tmp_path / "w.pth"
    torch.save({"state_dict": STATE}, path, _use_new_zipfile_serialization=False)
    assert same(read_tensors(path))
    data = path.read_bytes()
    place = data.index((60).to_bytes(8, "little") + STATE["conv.weight"].numpy().tobytes()[:8])
    path.write_bytes(data[:place] + (59).to_bytes(8, "little") + data[place + 8 :])
    with pytest.raises(WeightsError, match="other lengths than in its pickle"):
        read_tensors(path)


def test_a_legacy_file_that_claims_more_than_it_has(tmp_path: Path) -> None:
    path = tmp_path / "w.pth"
    torch.save({"a": torch.zeros(1000)}, path, _use_new_zipfile_serialization=False)
    data = path.read_bytes()
    assert data.count(b"M\xe8\x03") == 2  # the storage's length and the tensor's
    path.write_bytes(data.replace(b"M\xe8\x03", b"J\xff\xff\xff\x7f", 1))
    with pytest.raises(WeightsError, match="claims more bytes of numbers than"):
        read_tensors(path)


# Torch's own reading is the judge of what whole files hold


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_files_are_read_as_torch_reads_them(tmp_path: Path, zipped: bool, protocol: int) -> None:
    base = torch.arange(24.0)
    content = {
        "shared": base,
        "part": base[4:16].view(3, 4).t(),
        "expanded": torch.ones(1).expand(5),
        "empty": torch.zeros(0, 3),
        "parameter": torch.nn.Parameter(torch.rand(2, 2)),
        "types": [torch.ones(2, dtype=d) for d in (torch.half, torch.bfloat16, torch.bool)],
        "new": torch.arange(3).to(torch.uint16),
        "complex": torch.ones(2, dtype=torch.complex64),
        "list": [1, -(2**70), 2.5, None, True, "text\u00e4", b"bytes", (1, (2,)), {"a": {"b": 1}}],
        "size": torch.rand(2, 3).size(),
        "set": {1, 2},
        "dtype": torch.float16,
        "model": torch.nn.BatchNorm1d(3).state_dict(),
        "optimizer": torch.optim.Adam([torch.nn.Parameter(torch.ones(2))]).state_dict(),
    }
    if not zipped:
        del content["new"]  # which torch itself cannot read again
    path = tmp_path / "w.pth"
    torch.save(content, path, pickle_protocol=protocol, _use_new_zipfile_serialization=zipped)
    found, expected = read_checkpoint(path), torch.load(path, weights_only=False)
    assert equal(found, expected)
    assert (
        found["part"].untyped_storage().data_ptr() == found["shared"].untyped_storage().data_ptr()
    )
    assert found["model"]._metadata == expected["model"]._metadata


def equal(one: Any, other: Any) -> bool:
    if isinstance(one, Tensor):
        return (
            one.dtype == other.dtype and one.stride() == other.stride() and torch.equal(one, other)
        )
    if isinstance(one, dict):
        return list(one) == list(other) and all(equal(one[k], other[k]) for k in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(equal, one, other))
    return type(one) is type(other) and one == other


def test_bytes_of_another_machine_are_swapped(tmp_path: Path) -> None:
    torch.save({"a": torch.tensor([1.0, 2.5])}, tmp_path / "w.pth")

    def other(name: str, data: bytes) -> tuple[str, bytes]:
        if name.endswith("byteorder"):
            return name, b"big"
        return name, np.frombuffer(data, "<f4").astype(">f4").tobytes() if "data/" in name else data

    assert read_tensors(rezipped(tmp_path / "w.pth", other))["a"].tolist() == [1.0, 2.5]


def test_a_stream_of_zeros_is_refused(tmp_path: Path) -> None:
    for content in (bytes(1000), io.BytesIO().getvalue(), b"PK\x03\x04" + bytes(1000)):
        (tmp_path / "w.pth").write_bytes(content)
        with pytest.raises(WeightsError, match=r"w.pth is not a readable checkpoint"):
            read_tensors(tmp_path / "w.pth")
