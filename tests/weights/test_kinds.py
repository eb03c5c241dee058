"""Files that are not checkpoints: each is named, with advice on what to do."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import pickle
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from PIL import Image

from nr3d.cli import main
from nr3d.errors import WeightsError
from nr3d.weights import read_tensors


def of_numpy(path: Path) -> None:
    with path.open("wb") as file:
        np.save(file, np.ones(3))


def of_arrays(path: Path) -> None:
    with path.open("wb") as file:
        np.savez(file, a=np.ones(3))


def of_hdf5(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["a"] = np.ones(3)


def of_tar(path: Path) -> None:
    with tarfile.open(path, "w") as archive:
        archive.addfile(tarfile.TarInfo("w.pth"), io.BytesIO())


def of_zip(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("weights/model.pth", b"1")


def of_script(path: Path) -> None:
    class Doubles(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return 2 * x

    torch.jit.save(torch.jit.trace(Doubles(), torch.ones(1)), str(path))


def raw_pickle(path: Path, protocol: int) -> None:
    path.write_bytes(pickle.dumps({"a": np.ones(3), "b": torch.ones(2)}, protocol))


def written(content: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(content)


KINDS: dict[str, tuple[Callable[[Path], object], str]] = {
    "empty": (written(b""), "an empty file: fetch or save it again"),
    "page": (written(b"\n<!DOCTYPE html><html>quota</html>"), "a web page: fetch the file itself"),
    "upper": (written(b"\xef\xbb\xbf<HTML><title>Log in"), "a web page: "),
    "lfs": (
        written(b"version https://git-lfs.github.com/spec/v1\noid sha256:12"),
        "a Git LFS pointer, .*run `git lfs pull`",
    ),
    "text": (written("Zugriff verweigert: ä\n".encode() * 40), "a text file: "),
    "json": (written(b'{"a": [1, 2]}'), "a text file: "),
    "gzip": (written(gzip.compress(b"1")), "a gzip archive: extract it"),
    "bzip2": (written(bz2.compress(b"1")), "a bzip2 archive: extract it"),
    "xz": (written(lzma.compress(b"1")), "an xz archive: extract it"),
    "7z": (written(b"7z\xbc\xaf\x27\x1c" + bytes(9)), "a 7z archive: extract it"),
    "rar": (written(b"Rar!\x1a\x07\x01" + bytes(9)), "a RAR archive: extract it"),
    "onnx": (written(b"\x08\x08\x12\x07pytorch\x1a\x032.1"), "an ONNX file: "),
    "image": (lambda path: Image.new("RGB", (4, 4)).save(path, "PNG"), "an image: "),
    "photo": (lambda path: Image.new("RGB", (4, 4)).save(path, "JPEG"), "an image: "),
    "npy": (of_numpy, r"a NumPy array \(.npy\): save the model's state dict by torch.save"),
    "npz": (of_arrays, r"a file of NumPy arrays \(.npz\): save the model's state dict"),
    "hdf5": (of_hdf5, "an HDF5 file, such as Keras's: convert it"),
    "tar": (of_tar, "a tar archive: extract it"),
    "zip": (of_zip, "a zip archive that holds weights/model.pth and no data.pkl: extract it"),
    "script": (of_script, r"a TorchScript archive, .* save torch.jit.load\(…\).state_dict\(\)"),
    "protocol 2": (
        lambda path: raw_pickle(path, 2),
        "a raw pickle, not of torch.save.* by torch.s",
    ),
    "protocol 4": (
        lambda path: raw_pickle(path, 4),
        "a raw pickle, not of torch.save.* by torch.s",
    ),
    "protocol 0": (lambda path: raw_pickle(path, 0), "is not a readable checkpoint"),
    "zeros": (written(bytes(5000)), "is not a readable checkpoint"),
    "noise": (lambda path: path.write_bytes(np.random.default_rng(0).bytes(5000)), "raw pickle"),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_file_that_is_no_checkpoint_is_told_what_it_is(kind: str, tmp_path: Path) -> None:
    make, words = KINDS[kind]
    make(tmp_path / "w.pth")
    with pytest.raises(WeightsError, match=words) as caught:
        read_tensors(tmp_path / "w.pth")
    message = str(caught.value)
    assert message.startswith(f"{tmp_path / 'w.pth'} is not a readable checkpoint")
    assert message.isprintable()
    assert len(message) < 500


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names")
def test_a_pipe_and_a_folder_are_refused_at_once(
    tmp_path: Path, no_weights: object, capsys: pytest.CaptureFixture[str]
) -> None:
    os.mkfifo(tmp_path / "pipe.pth")
    for path, kind in (
        (tmp_path / "pipe.pth", "a pipe or device"),
        (Path("/dev/zero"), "a pipe or device"),
        (tmp_path, "a folder"),
    ):
        with pytest.raises(WeightsError, match=f"is {kind}: give the path of a checkpoint's file"):
            read_tensors(path)
        for words in (["export", str(path)], ["add", str(path)]):
            assert main(["weights", *words, "--name", "nr3d_resnet18_ibn.a"]) == 2
            err = capsys.readouterr().err
            assert err.count("\n") == 1, err
            assert str(path) in err


@pytest.mark.parametrize("path", ["~nobody-of-this-name/w.pth", "a\0b.pth", "w" * 5000])
def test_a_path_that_can_be_none_is_refused(path: str) -> None:
    with pytest.raises(WeightsError):
        read_tensors(path)
