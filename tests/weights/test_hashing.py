"""SHA-256 of weights: computed once a command, and again for a file that may have changed."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import nr3d
from nr3d.cli import main
from nr3d.features import FeatureStore
from nr3d.files import file_states
from nr3d.weights import Source, WeightsEntry, add, fetch, verify
from nr3d.weights.cache import file_of
from nr3d.weights.hashing import sha256_of

NAME = "nr3d_resnet18_ibn.mine"
SMALL = [
    *("--config", "synthetic", "model.name", "nr3d_resnet18_ibn"),
    *("model.aggregation", "attention", "test.precision", "float32"),
    *("data.height", "32", "data.width", "16", "data.workers", "0", "video.seq_len", "2"),
]


@pytest.fixture(autouse=True)
def _fresh(no_weights: object) -> None:
    """Without weights."""


@pytest.fixture
def content(tmp_path: Path) -> bytes:
    torch.manual_seed(0)
    torch.save(nr3d.models.VideoReID(18, 8).state_dict(), tmp_path / "made.pth")
    return (tmp_path / "made.pth").read_bytes()


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], int]:
    """Count how often as many bytes were hashed as a file has."""
    monkeypatch.setattr(file_states, "_TICK", 0)  # a small file is hashed within it
    computed: list[list[int]] = []
    original = hashlib.sha256

    class Counting:
        def __init__(self, data: bytes = b"") -> None:
            self.inner, self.bytes = original(data), [len(data)]
            computed.append(self.bytes)

        def update(self, data: bytes) -> None:
            self.bytes.append(len(data))
            self.inner.update(data)

        def hexdigest(self) -> str:
            return self.inner.hexdigest()

    monkeypatch.setattr(hashlib, "sha256", Counting)
    return lambda size: sum(sum(counts) == size for counts in computed)


@pytest.mark.parametrize("where", ["on a server", "on this machine"])
def test_an_extraction_hashes_its_weights_once(
    server, content: bytes, hashed, mars_root: Path, tmp_path: Path, where: str
) -> None:
    server.files["/w.pth"], digest = content, hashlib.sha256(content).hexdigest()
    before = hashed(len(content))
    place = str(tmp_path / "made.pth")
    source = Source(url=f"{server.url}/w.pth") if where == "on a server" else Source(path=place)
    add(WeightsEntry(NAME, (source,), sha256=digest))
    out = tmp_path / "features.h5"
    places = ["--root", str(mars_root), "--weights", NAME, "--out", str(out)]
    assert main(["extract", *places, *SMALL]) == 0
    assert hashed(len(content)) - before == 1
    assert FeatureStore(out).origin.weights_sha256 == digest


def test_a_file_that_changed_is_hashed_again(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "made.pth"
    entry = WeightsEntry(NAME, (Source(path=str(path)),), sha256=sha256_of(path))
    assert fetch(entry) == path
    before = path.stat()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    with pytest.raises(nr3d.errors.WeightsError, match="its SHA-256 starts with"):
        fetch(entry)
    path.write_bytes(content)
    assert fetch(entry) == path


def test_to_verify_is_to_read_the_file_again(server, content: bytes, hashed) -> None:
    server.files["/w.pth"] = content
    source = Source(url=f"{server.url}/w.pth")
    entry = WeightsEntry(NAME, (source,), sha256=hashlib.sha256(content).hexdigest())
    assert fetch(entry) == file_of(entry)
    before = hashed(len(content))
    assert fetch(entry) == file_of(entry)
    assert hashed(len(content)) == before
    for number in (1, 2):
        assert verify(entry).state == "ok"
        assert hashed(len(content)) == before + number
