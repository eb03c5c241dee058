"""Feature stores: rows come back as they were written, whatever happens in between."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from nr3d.errors import DataError, FeatureStoreError
from nr3d.features import FeatureStore, FeatureWriter, Origin, Row
from nr3d.features.store import writing
from tests.engine.killed_run import die
from tests.features.store.version_1 import write_version_1

ORIGIN = Origin(
    dataset="mars",
    weights="model.pth",
    weights_sha256="ab" * 32,
    settings={"height": 224, "precision": "float32"},
    config={"test": {"ranks": [1]}},
    versions={"nr3d": "0.1.0"},
    tracklets={"train": 1, "query": 2, "gallery": 1},
)


def row(split: str, index: int, *, frames: int = 3, size: int = 8) -> Row:
    rng = np.random.default_rng([index, len(split)])
    return Row(
        split=split,
        index=index,
        pid=index // 2,
        camid=index % 2,
        name=f"{index:04d}/{index:04d}C1T0001F001.jpg",
        feature=rng.standard_normal(size).astype(np.float32),
        clips=(frames + 3) // 4,
        frame_weights=rng.random(frames).astype(np.float32),
    )


ROWS = [row("query", 1), row("gallery", 0, frames=5), row("query", 0, frames=1), row("train", 0)]


def write(path: Path, rows: list[Row] = ROWS, origin: Origin = ORIGIN) -> Path:
    with FeatureWriter(path, origin) as store:
        for each in rows:
            if each.key not in store.keys:
                store.append(each)
        store.finish()
    return path


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def content(path: Path) -> dict[str, list[object]]:
    with h5py.File(path) as file:
        return {name: file[name][:].tolist() for name in file}


def test_rows_come_back_by_split_in_the_datasets_order(tmp_path: Path) -> None:
    store = FeatureStore(write(tmp_path / "new" / "features.h5"))
    assert store.complete
    assert store.counts == store.expected == {"train": 1, "query": 2, "gallery": 1}
    assert store.origin == ORIGIN
    query = store.load("query")
    expected = [ROWS[2], ROWS[0]]
    np.testing.assert_array_equal(query.features, [each.feature for each in expected])
    assert query.labels.pids.tolist() == [0, 0]
    assert query.labels.camids.tolist() == [0, 1]
    assert query.frames.tolist() == [1, 3]
    assert query.clips.tolist() == [1, 1]
    assert list(query.names) == [each.name for each in expected]
    for found, each in zip(store.frame_weights("query"), expected, strict=True):
        np.testing.assert_array_equal(found, each.frame_weights)
    with pytest.raises(KeyError, match="Unknown split: 'test'"):
        store.load("test")
    assert names_in(tmp_path / "new") == ["features.h5"]


def test_any_reader_of_hdf5_finds_what_the_documentation_says(tmp_path: Path) -> None:
    with h5py.File(write(tmp_path / "features.h5")) as file:
        assert file.attrs["format"] == b"nr3d features"
        assert file.attrs["dataset"] == b"mars"
        assert file.attrs["weights_sha256"] == b"ab" * 32
        assert json.loads(file.attrs["tracklets"]) == {"train": 1, "query": 2, "gallery": 1}
        assert json.loads(file.attrs["asked"]) == ["train", "query", "gallery"]
        # train, query, gallery; each in the order of the index
        assert file["split"].asstr()[:].tolist() == ["train", "query", "query", "gallery"]
        assert file["index"][:].tolist() == [0, 0, 1, 0]
        assert file["features"].shape == (4, 8)
        assert file["features"].dtype == np.float32
        for place, each in enumerate([ROWS[3], ROWS[2], ROWS[0], ROWS[1]]):
            first, frames = file["first_frame"][place], file["frames"][place]
            np.testing.assert_array_equal(
                file["frame_weights"][first : first + frames], each.frame_weights
            )
            # index, pid, camid, clips, frames, size, split, name, then the bytes of the arrays
            text = (
                f"{each.index} {each.pid} {each.camid} {each.clips} {frames} 8 {each.split} "
                f"{each.name}"
            )
            stored = text.encode() + each.feature.tobytes() + each.frame_weights.tobytes()
            assert zlib.crc32(stored) == file["crc32"][place]


def test_float16_halves_the_features(tmp_path: Path) -> None:
    store = FeatureStore(write(tmp_path / "f.h5", origin=replace(ORIGIN, dtype="float16")))
    with h5py.File(store.path) as file:
        assert file["features"].dtype == np.float16
    np.testing.assert_allclose(store.load("train").features[0], ROWS[3].feature, rtol=1e-3)


def test_an_empty_store_is_one(tmp_path: Path) -> None:
    store = FeatureStore(write(tmp_path / "f.h5", []))
    assert store.counts == {}
    assert not store.complete
    assert len(store.load("query").features) == 0


def test_writing_continues_where_it_stopped(tmp_path: Path) -> None:
    whole = write(tmp_path / "whole.h5")
    with FeatureWriter(tmp_path / "f.h5", ORIGIN) as store:
        for each in ROWS[:2]:
            store.append(each)
    half = FeatureStore(tmp_path / "f.h5")
    assert not half.complete
    assert half.keys() == {each.key for each in ROWS[:2]}
    write(tmp_path / "f.h5")
    assert content(tmp_path / "f.h5") == content(whole)


def test_what_was_appended_before_an_error_is_kept(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), FeatureWriter(tmp_path / "f.h5", ORIGIN) as store:
        store.append(ROWS[0])
        raise KeyboardInterrupt
    assert FeatureStore(tmp_path / "f.h5").keys() == {ROWS[0].key}


Kill = Callable[[pytest.MonkeyPatch], None]


def in_the_file(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(writing.np, "stack", lambda *arrays: die())


def at_its_end(patch: pytest.MonkeyPatch) -> None:
    create = writing.hdf5.create

    def dying(path: Path, fill: Callable[[h5py.File], object]) -> None:
        create(path, fill)
        die()

    patch.setattr(writing.hdf5, "create", dying)


def before_the_rename(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Path, "replace", lambda *paths: die())


def after_the_rename(patch: pytest.MonkeyPatch) -> None:
    rename = Path.replace

    def dying(source: Path, target: Path) -> None:
        rename(source, target)
        die()

    patch.setattr(Path, "replace", dying)


def in_a_child(work: Callable[[], object]) -> int:
    """Do some work in a forked process and return its exit code."""
    pid = os.fork()
    if pid == 0:
        try:
            work()
        finally:
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@pytest.mark.parametrize("first", [0, 2])
@pytest.mark.parametrize("kill", [in_the_file, at_its_end, before_the_rename, after_the_rename])
def test_a_killed_writer_leaves_whole_rows_and_can_be_continued(
    tmp_path: Path, kill: Kill, first: int
) -> None:
    path = tmp_path / "f.h5"
    with FeatureWriter(path, ORIGIN) as store:
        for each in ROWS[:first]:
            store.append(each)

    def killed() -> None:
        with pytest.MonkeyPatch.context() as patch, FeatureWriter(path, ORIGIN) as store:
            for each in ROWS[first:]:
                store.append(each)
            kill(patch)
            store.write()

    assert in_a_child(killed) == -signal.SIGKILL
    kept = first if kill is not after_the_rename else len(ROWS)
    assert FeatureStore(path).keys() == {each.key for each in ROWS[:kept]}
    write(path)
    assert names_in(tmp_path) == ["f.h5"]
    assert content(path) == content(write(tmp_path / "whole.h5"))


@pytest.mark.parametrize("kill", [at_its_end, after_the_rename])
def test_a_killed_merge_loses_and_doubles_nothing(tmp_path: Path, kill: Kill) -> None:
    path = write(tmp_path / "f.h5", ROWS[:1])
    parts = [write(tmp_path / f"part{n}", ROWS[1 + n :: 2]) for n in (0, 1)]

    def killed() -> None:
        with pytest.MonkeyPatch.context() as patch, FeatureWriter(path, ORIGIN) as store:
            kill(patch)
            store.take_in(parts)

    assert in_a_child(killed) == -signal.SIGKILL
    with FeatureWriter(path, ORIGIN) as store:
        store.take_in([part for part in parts if part.exists()])
        store.finish()
    assert content(path) == content(write(tmp_path / "whole.h5"))
    assert not any(part.exists() for part in parts)


def test_other_weights_or_settings_are_refused_with_the_difference(tmp_path: Path) -> None:
    path = write(tmp_path / "f.h5")
    before = path.read_bytes()
    for other, difference in (
        (replace(ORIGIN, weights_sha256="cd" * 32), "weights_sha256 was 'abab"),
        (replace(ORIGIN, dtype="float16"), "dtype was 'float32', is now 'float16'"),
        (
            replace(ORIGIN, settings={"height": 256, "precision": "float32"}),
            r"height was 224, is now 256\).*give another file",
        ),
    ):
        with pytest.raises(FeatureStoreError, match=difference):
            write(path, origin=other)
    write(path, origin=replace(ORIGIN, versions={"nr3d": "9"}, weights="copy.pth"))
    shutil.copy(path, tmp_path / "same")
    assert len(path.read_bytes()) == len(before)


def test_two_writers_are_one_too_many(tmp_path: Path) -> None:
    path = tmp_path / "f.h5"
    with FeatureWriter(path, ORIGIN) as store:
        store.append(ROWS[0])
        with pytest.raises(
            FeatureStoreError, match=r"f.h5 is being written by process \d+ on .*: wait"
        ):
            write(path)
        # Reading is possible at the same time.
        assert FeatureStore(path).counts == {}
    assert FeatureStore(path).counts == {"query": 1}


@pytest.mark.parametrize("kept", [0, 10, 100, 2000, -1])
def test_a_store_cut_short_says_so(tmp_path: Path, kept: int) -> None:
    path = write(tmp_path / "f.h5")
    path.write_bytes(path.read_bytes()[:kept])
    for use in (FeatureStore, write):
        with pytest.raises(FeatureStoreError, match=r"f.h5 .*Remove it and extract"):
            use(path)


def test_other_files_are_distinguished_from_stores(tmp_path: Path) -> None:
    path = tmp_path / "f.h5"
    with pytest.raises(FeatureStoreError, match=r"There is no feature store .*f.h5: make it"):
        FeatureStore(path)
    with h5py.File(path, "w"):
        pass
    with pytest.raises(FeatureStoreError, match="HDF5 file but not a feature store"):
        FeatureStore(path)
    path.unlink()
    write(path)
    with h5py.File(path, "r+") as file:
        file.attrs["version"] = 3
    with pytest.raises(FeatureStoreError, match="of version 3, expected 1 to 2"):
        FeatureStore(path)
    write_version_1(path, ROWS, ORIGIN, complete=True)
    with h5py.File(path, "r+") as file:
        file["pid"].resize((3,))
    with pytest.raises(FeatureStoreError, match="its columns differ in length"):
        FeatureStore(path)
    path.unlink()
    path.mkdir()
    with pytest.raises(FeatureStoreError, match=r"f.h5 is a folder"):
        FeatureStore(path)
    with pytest.raises(FeatureStoreError, match=r"f.h5 is a folder: give a file"):
        write(path)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_feature_that_is_not_finite_is_refused(tmp_path: Path, value: float) -> None:
    bad = replace(ROWS[1], feature=np.array([1, value], np.float32))
    with pytest.raises(DataError, match=r"gallery tracklet 0000/.* is not finite in float32"):
        write(tmp_path / "f.h5", [ROWS[0], bad])
    assert FeatureStore(tmp_path / "f.h5").keys() == {ROWS[0].key}
    large = replace(ROWS[1], feature=np.full(8, 1e6, np.float32))
    with pytest.raises(DataError, match="the type is too small"):
        write(tmp_path / "half.h5", [large], replace(ORIGIN, dtype="float16"))


def test_a_full_disk_leaves_the_store_as_it_was(tmp_path: Path) -> None:
    many = [row("train", n) for n in range(300)]
    origin = replace(ORIGIN, tracklets=dict(ORIGIN.tracklets) | {"train": 300})
    path = write(tmp_path / "f.h5", ROWS[:2], origin)
    report = tmp_path / "report"

    def fill() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        # No file may grow, which is like a full disk for a new copy of the store.
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
        try:
            write(path, many, origin)
        except FeatureStoreError as error:
            report.write_text(str(error))

    in_a_child(fill)
    message = report.read_text()
    assert "f.h5 cannot be written (" in message
    assert message.endswith("run the same command again. It holds 2 tracklets, as before.")
    assert FeatureStore(path).counts == {"query": 1, "gallery": 1}
    assert names_in(tmp_path) == ["f.h5", "report"]


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(FeatureStoreError, match=r"file/f.h5 cannot be written .*its folder"):
        write(tmp_path / "file" / "f.h5")
