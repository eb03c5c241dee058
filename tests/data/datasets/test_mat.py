"""MATLAB files: the numbers that SciPy reads, and one line for whatever is none."""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse
from scipy.io import loadmat, savemat

from nr3d.data.datasets.mat import read_mat
from nr3d.errors import DataError

TYPES = {"5": "i1 u1 i2 u2 i4 u4 i8 u8 f4 f8", "4": "i2 u2 i4 f4 f8"}


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("version", ["4", "5"])
@pytest.mark.parametrize("shape", [(3, 4), (1, 1), (0, 0), (7, 1), (1, 300)])
def test_numbers_are_those_that_scipy_reads(
    version: str, compressed: bool, shape: tuple[int, int], tmp_path: Path
) -> None:
    path, rng = tmp_path / "a.mat", np.random.default_rng(0)
    for dtype in TYPES[version].split():
        table = (rng.random(shape) * 100).astype(dtype)
        content = {"before": np.ones((2, 2)), "text": "rows", "table": table, "after": table}
        savemat(path, content, format=version, do_compression=compressed)
        found, expected = read_mat(path, "table"), loadmat(path)["table"]
        assert np.array_equal(found, expected)
        assert (found.shape, found.dtype) == (expected.shape, expected.dtype)


def test_the_tables_of_mars_are_those_that_scipy_reads(footage: Path) -> None:
    tables = footage.parent / "mars_info"
    if not tables.is_dir():
        pytest.skip(f"no tables at {tables}")
    for name, key in (("tracks_test_info", "track_test_info"), ("query_IDX", "query_IDX")):
        path = tables / f"{name}.mat"
        assert np.array_equal(read_mat(path, key), loadmat(path)[key])


def element(kind: int, body: bytes, order: str = "<") -> bytes:
    return struct.pack(f"{order}II", kind, len(body)) + body + bytes(-len(body) % 8)


def matrix(
    shape: tuple[int, ...], body: bytes, kind: int = 9, number: int = 6, order: str = "<"
) -> bytes:
    return element(
        14,
        element(6, struct.pack(f"{order}II", number, 0), order)
        + element(5, struct.pack(f"{order}{len(shape)}i", *shape), order)
        + element(1, b"x", order)
        + element(kind, body, order),
        order,
    )


def head(order: str = "<") -> bytes:
    return b"MATLAB 5.0 MAT-file".ljust(124) + struct.pack(f"{order}HH", 0x0100, 0x4D49)


def test_bytes_of_the_other_order_are_read(tmp_path: Path) -> None:
    path = tmp_path / "a.mat"
    path.write_bytes(head(">") + matrix((1, 3), struct.pack(">3H", 1, 2, 3000), 4, 6, ">"))
    assert loadmat(path)["x"].tolist() == [[1, 2, 3000]]
    assert read_mat(path, "x").tolist() == [[1, 2, 3000]]
    big = struct.pack(">5i", 1000, 1, 2, 0, 2) + b"x\0" + struct.pack(">2d", 7.0, 8.0)
    path.write_bytes(big)
    assert loadmat(path)["x"].tolist() == [[7, 8]]
    assert read_mat(path, "x").tolist() == [[7, 8]]


def bomb() -> bytes:
    """Declare a matrix that is there in full, of 200 MB, in 200 kB."""
    zeros = zlib.compressobj(9)
    one = bytes(2**20)
    parts = [zeros.compress(matrix((1, 200 * 2**17), b"")[:-8])]
    parts += [zeros.compress(struct.pack("<II", 9, 200 * 2**20))]
    parts += [zeros.compress(one) for _ in range(200)]
    body = b"".join([*parts, zeros.flush()])
    return head() + struct.pack("<II", 15, len(body)) + body


def saved(content: dict[str, object], **options: object) -> Callable[[Path], object]:
    return lambda path: savemat(path, content, **options)


def holding(data: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(data)


WRONG: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (lambda path: None, "There is no {path}"),
    "a folder": (lambda path: path.mkdir(), "{path} is a folder, not a file"),
    "a pipe": (lambda path: os.mkfifo(path), "{path} is a pipe, not a file"),
    "empty": (holding(b""), "{path} cannot be read as a MATLAB file (it has 0 bytes)"),
    "text": (holding(b"<html>404 not found</html>" * 9), "(its head is not that of one)"),
    "7.3": (
        holding(b"MATLAB 7.3 MAT-file".ljust(124) + b"\0\2IM" + bytes(384) + b"\x89HDF\r\n"),
        "(it is of version 7.3, which is HDF5: save it in MATLAB with '-v7')",
    ),
    "another version": (holding(head()[:124] + b"\0\3IM"), "its version is 0x0300"),
    "cut off": (holding(head() + matrix((1, 2), bytes(16))[:-4]), "(it is cut off)"),
    "more rows": (
        holding(head() + matrix((2**31 - 1, 2**31 - 1), bytes(16))),
        "a matrix of 2147483647 × 2147483647 has 2 numbers",
    ),
    "fewer rows than none": (holding(head() + matrix((-1, -2), bytes(16))), "-1 × -2 has 2"),
    "no rows at all": (holding(head() + matrix((), bytes(16))), "a matrix of nothing has 2"),
    "half a number": (holding(head() + matrix((1, 1), bytes(9))), "9 bytes are no numbers of 8"),
    "no such type": (holding(head() + matrix((1, 1), bytes(8), kind=8)), "of type 8 where"),
    "no such class": (holding(head() + matrix((1, 1), bytes(8), number=99)), "of class 99"),
    "another type's numbers": (
        holding(head() + matrix((1, 1), struct.pack("<d", 300), number=9)),
        "x has numbers that are not of its type, uint8",
    ),
    "twice": (holding(head() + 2 * matrix((1, 1), bytes(8))), "it holds x twice"),
    "a bomb": (holding(bomb()), "it holds more than 67,108,864 bytes"),
    "a damaged compressed part": (
        holding(head() + element(15, zlib.compress(matrix((1, 1), bytes(8)))[:-1] + b"?")),
        "cannot be read as a MATLAB file (Error -3",
    ),
    "another key": (saved({"y": np.ones((1, 1))}), "{path} holds y, expected x"),
    "no key": (holding(head()), "{path} holds nothing, expected x"),
    "complex": (saved({"x": np.ones((2, 2)) * 1j}), "x in {path} is complex, expected a matrix"),
    "text in it": (saved({"x": "1 2 3"}), "x in {path} is text"),
    "text of version 4": (saved({"x": "1 2 3"}, format="4"), "x in {path} is text"),
    "cells": (saved({"x": np.array([1, "a"], object)}), "x in {path} is a cell array"),
    "a structure": (saved({"x": {"a": 1}}), "x in {path} is a structure"),
    "sparse": (saved({"x": scipy.sparse.eye(3)}), "x in {path} is a sparse matrix"),
    "sparse of version 4": (
        saved({"x": scipy.sparse.eye(3)}, format="4"),
        "x in {path} is a sparse matrix",
    ),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_what_is_no_table_is_named(wrong: str, tmp_path: Path) -> None:
    path = tmp_path / "a.mat"
    write, message = WRONG[wrong]
    write(path)
    with pytest.raises(DataError) as caught:
        read_mat(path, "x")
    assert message.format(path=path) in str(caught.value)
    assert str(path) in str(caught.value)


def test_a_file_of_gigabytes_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "a.mat"
    with path.open("wb") as file:
        file.truncate(2**34)
    with pytest.raises(DataError, match=r"has 17,179,869,184 bytes, expected at most 67,108,864"):
        read_mat(path, "x")


@pytest.mark.parametrize("compressed", [False, True])
def test_no_flip_of_a_bit_raises_anything_else(compressed: bool, tmp_path: Path) -> None:
    path = tmp_path / "a.mat"
    savemat(path, {"x": np.arange(12).reshape(3, 4)}, do_compression=compressed)
    whole = path.read_bytes()
    others = 0
    for place in range(8 * len(whole)):
        data = bytearray(whole)
        data[place // 8] ^= 1 << place % 8
        path.write_bytes(data)
        try:
            others += not np.array_equal(read_mat(path, "x"), np.arange(12).reshape(3, 4))
        except DataError as error:
            assert str(path) in str(error)
    # What is compressed has a checksum.
    assert compressed == (others == 0)
