"""Damaged feature stores, which are read right or refused, and other unreadable files."""

from __future__ import annotations

import os
import resource
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from nr3d.errors import FeatureStoreError
from nr3d.features import SPLITS, FeatureStore, FeatureWriter, Row
from nr3d.features.store.layout import crc32_of_tables
from tests.features.store.test_store import ORIGIN, ROWS, in_a_child, names_in, row, write
from tests.features.store.version_1 import write_version_1
from tests.files.test_hdf5 import held

TRACKLETS = {"train": 2, "query": 3, "gallery": 3}
MANY = [row(split, n, size=32) for split in SPLITS for n in range(TRACKLETS[split])]


def everything(path: Path) -> list[Any]:
    """Return everything that can be read from a store."""
    store = FeatureStore(path)
    found: list[Any] = [store.origin, store.counts, store.expected, store.complete, store.keys()]
    found.append(store.attention)
    for split in SPLITS:
        part = store.load(split)
        found += [part.features.tolist(), part.names, part.clips.tolist(), part.frames.tolist()]
        found += [part.labels.pids.tolist(), part.labels.camids.tolist()]
        found += [weights.tolist() for weights in store.frame_weights(split)]
    return found


def test_no_bit_can_flip_unseen(tmp_path: Path) -> None:
    path = write(tmp_path / "f.h5", MANY, replace(ORIGIN, tracklets=TRACKLETS))
    data, expected = path.read_bytes(), everything(path)
    rng = np.random.default_rng(0)
    refused = 0
    for place in rng.choice(len(data), 240, replace=False):
        flipped = bytearray(data)
        flipped[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(flipped)
        try:
            assert everything(path) == expected, f"bit in byte {place}"
        except FeatureStoreError as error:
            assert "f.h5" in str(error)
            refused += 1
    assert refused > 50  # the other bits lie in unused parts of the file


def flip(path: Path, name: str, place: int) -> None:
    """Flip the lowest bit of a number in a dataset of the file."""
    with h5py.File(path) as file:
        column = file[name]
        at = column.id.get_offset() + place * column.dtype.itemsize
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("name", "place", "damage"),
    [
        ("features", 8 + 3, r"its row 1, tracklet 0 of query, does not fit its CRC-32"),
        ("frame_weights", 3, r"its row 1, tracklet 0 of query, does not fit its CRC-32"),
        ("pid", 1, r"its tables do not fit their CRC-32"),
        ("crc32", 1, r"its tables do not fit their CRC-32"),
    ],
)
def test_the_row_that_is_damaged_is_named(
    tmp_path: Path, name: str, place: int, damage: str
) -> None:
    path = write(tmp_path / "f.h5")
    flip(path, name, place)
    with pytest.raises(FeatureStoreError, match=rf"f.h5 is damaged: {damage}\. Remove it"):
        FeatureStore(path).load("query")
    # It is neither continued nor taken into another store.
    with pytest.raises(FeatureStoreError, match=damage):
        write(path)
    with (
        pytest.raises(FeatureStoreError, match=damage),
        FeatureWriter(tmp_path / "other.h5", ORIGIN) as other,
    ):
        other.take_in([path])
    assert path.exists()


def test_a_row_that_is_damaged_spoils_no_other_split(tmp_path: Path) -> None:
    path = write(tmp_path / "f.h5")
    flip(path, "features", 0)
    store = FeatureStore(path)
    assert len(store.load("query").features) == 2
    assert len(store.frame_weights("gallery")) == 1
    with pytest.raises(FeatureStoreError, match="tracklet 0 of train"):
        store.frame_weights("train")


@pytest.mark.parametrize("name", ["dataset", "weights_sha256", "settings", "config", "tracklets"])
def test_a_changed_attribute_is_refused(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / "f.h5")
    with h5py.File(path, "r+") as file:
        text = file.attrs[name]
        file.attrs.modify(name, np.bytes_(text.replace(b"1", b"2").replace(b"a", b"e")))
    with pytest.raises(FeatureStoreError, match="its tables do not fit their CRC-32"):
        FeatureStore(path)


def test_rows_that_cannot_be_are_refused_whatever_their_checksums(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(damage: str, rows: list[Row], version: int = 1) -> None:
        path = tmp_path / "f.h5"
        path.unlink(missing_ok=True)
        if version == 1:
            write_version_1(path, rows, ORIGIN, complete=True)
        else:
            with FeatureWriter(path, ORIGIN) as store:
                store._rows += rows
                store._crc32 |= {each.key: each.crc32 for each in rows}
                store.write()
        with pytest.raises(FeatureStoreError, match=f"f.h5 is damaged: {damage}"):
            FeatureStore(path).load("query")

    query = ROWS[2]
    for version in (1, 2):
        refused("tracklet 0 of query is there 2 times", [query, query], version)
        refused("its index has -1, expected 0 or more", [replace(query, index=-1)], version)
        nan = replace(query, feature=np.full(8, np.nan, np.float32))
        refused("its row 0, tracklet 0 of query, is not finite", [nan], version)
        nan = replace(query, frame_weights=np.full(8, np.inf, np.float32))
        refused("its row 0, tracklet 0 of query, is not finite", [nan], version)
    refused("tracklet 2 of query is beyond the dataset's", [replace(query, index=2)], 2)
    refused("it has an unknown split 'test'", [replace(query, split="test")])


def test_a_size_beyond_the_file_takes_no_memory(tmp_path: Path) -> None:
    path = write_version_1(tmp_path / "f.h5", ROWS, ORIGIN, complete=True)
    with h5py.File(path, "r+") as file:
        file["features"].resize((4, 1 << 40))
    with pytest.raises(FeatureStoreError, match=r"its features are \(4, 1099511627776\)"):
        FeatureStore(path)


def test_a_text_longer_than_any_takes_no_memory(tmp_path: Path) -> None:
    path = write_version_1(tmp_path / "f.h5", ROWS, ORIGIN, complete=True)
    with h5py.File(path) as file:
        at = file["name"].id.get_chunk_info(0).byte_offset
    data = bytearray(path.read_bytes())
    data[at : at + 4] = (1 << 30).to_bytes(4, "little")  # length of the first name
    path.write_bytes(data)
    with pytest.raises(FeatureStoreError, match=r"is damaged: its /name points outside the file"):
        FeatureStore(path)


def test_a_version_that_is_not_its_own_hides_no_damage(tmp_path: Path) -> None:
    path = write(tmp_path / "f.h5")
    with h5py.File(path, "r+") as file:
        file.attrs["version"] = 1
    with pytest.raises(FeatureStoreError, match="its version does not fit its attributes"):
        FeatureStore(path)


def test_a_store_that_another_process_has_open_is_not_called_damaged(tmp_path: Path) -> None:
    path = write(tmp_path / "f.h5")
    with held(path):
        for use in (FeatureStore, write):
            with pytest.raises(FeatureStoreError, match=r"f.h5 is open in another") as caught:
                use(path)
            assert "Remove" not in str(caught.value)
    assert FeatureStore(path).complete


# Several writers, disks that are too small, and names of any bytes


def test_parts_of_killed_processes_are_taken_in_or_cleared(tmp_path: Path) -> None:
    mine, theirs = tmp_path / "mine", tmp_path / "theirs"
    write(mine, ROWS[:2])
    write(theirs, ROWS[2:], replace(ORIGIN, settings={"height": 1}))
    (tmp_path / ".mine.77.partial").touch()
    with FeatureWriter(tmp_path / "f.h5", ORIGIN) as store:
        store.take_in([mine, theirs, tmp_path / "absent"])
    assert FeatureStore(tmp_path / "f.h5").keys() == {each.key for each in ROWS[:2]}
    assert names_in(tmp_path) == ["f.h5"]


def test_a_part_that_another_process_writes_is_left_to_it(tmp_path: Path) -> None:
    with FeatureWriter(tmp_path / "part", ORIGIN) as part:
        part.append(ROWS[0])
        with (
            pytest.raises(FeatureStoreError, match=r"part is being written by process"),
            FeatureWriter(tmp_path / "f.h5", ORIGIN) as store,
        ):
            store.take_in([tmp_path / "part"])
    assert FeatureStore(tmp_path / "part").keys() == {ROWS[0].key}


def test_a_disk_too_small_for_all_rows_is_refused_at_the_first_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Usage:
        free = 307_200

    monkeypatch.setattr("nr3d.features.store.writing.shutil.disk_usage", lambda folder: Usage)
    origin = replace(ORIGIN, tracklets={"train": 5000, "query": 2, "gallery": 1})
    with (
        pytest.raises(FeatureStoreError, match=r"220,132 bytes, twice that .*free some space"),
        FeatureWriter(tmp_path / "f.h5", origin) as store,
    ):
        store.append(ROWS[0])
    assert FeatureStore(tmp_path / "f.h5").counts == {}


def test_a_process_on_a_full_disk_ends_by_an_error(tmp_path: Path) -> None:
    origin = replace(ORIGIN, tracklets={"train": 300, "query": 2, "gallery": 1})

    def fill() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, 30_000))
        try:
            with FeatureWriter(tmp_path / "f.h5", origin) as store:
                for n in range(300):
                    store.append(row("train", n))
                    if n % 20 == 19:
                        store.write()
        except FeatureStoreError:
            # Objects that HDF5 still holds open would crash the interpreter at its end.
            os._exit(8 if h5py.h5f.get_obj_count(h5py.h5f.OBJ_ALL, h5py.h5f.OBJ_FILE) else 7)

    assert in_a_child(fill) == 7
    kept = FeatureStore(tmp_path / "f.h5")
    assert 100 < kept.counts["train"] < 300
    assert not kept.complete


def test_names_of_any_bytes_come_back(tmp_path: Path) -> None:
    names = [os.fsdecode(name) for name in (b"caf\xe9/1.jpg", "café/1.jpg".encode(), b"")]
    rows = [replace(each, name=name) for each, name in zip(ROWS, names, strict=False)]
    path = write(tmp_path / "f.h5", rows)
    store = FeatureStore(path)
    assert store.load("query").names == [names[2], names[0]]
    assert store.load("gallery").names == [names[1]]
    weights = replace(ORIGIN, weights=names[0], config={"root": names[0]})
    assert FeatureStore(write(tmp_path / "w.h5", rows, weights)).origin == weights
    write(path, rows)


def test_what_is_not_of_the_dataset_is_not_appended(tmp_path: Path) -> None:
    with FeatureWriter(tmp_path / "f.h5", ORIGIN, ["query"]) as store:
        store.append(ROWS[0])
        for other in (ROWS[0], ROWS[1], replace(ROWS[2], index=2)):
            with pytest.raises(ValueError, match="is there already or not one of"):
                store.append(other)
        with pytest.raises(FeatureStoreError, match="has features of 8 numbers, and query"):
            store.append(replace(ROWS[2], feature=np.ones(9, np.float32)))
    with pytest.raises(ValueError, match="expected some of"):
        FeatureWriter(tmp_path / "f.h5", ORIGIN, ["test"])


def test_a_split_is_whole_by_the_number_of_its_tracklets(tmp_path: Path) -> None:
    origin = replace(ORIGIN, tracklets={"train": 1, "query": 2, "gallery": 0})
    path = tmp_path / "f.h5"
    with FeatureWriter(path, origin, ["query", "gallery"]) as store:
        store.append(ROWS[0])
    half = FeatureStore(path)
    assert (half.complete, half.expected) == (False, {"query": 2, "gallery": 0})
    half.require("gallery")
    with pytest.raises(FeatureStoreError, match=r"f.h5 has 1 of 2 query tracklets: run the nr3d"):
        half.require("query", "gallery")
    with pytest.raises(FeatureStoreError, match=r"f.h5 has no train: run the nr3d extract that"):
        half.require("train")
    with FeatureWriter(path, origin, ["query"]) as store:
        store.append(ROWS[2])
    assert FeatureStore(path).complete
    # Once more splits are requested, the store is incomplete at once.
    with FeatureWriter(path, origin, ["train"]):
        assert not FeatureStore(path).complete
    with pytest.raises(FeatureStoreError, match=r"query was 2, is now 3\): restore the dataset"):
        write(path, [], replace(origin, tracklets={"train": 1, "query": 3, "gallery": 0}))


def test_a_store_of_version_1_is_made_one_of_this_with_all_its_rows(tmp_path: Path) -> None:
    old = write_version_1(tmp_path / "f.h5", ROWS[:3], ORIGIN, complete=True)
    store = FeatureStore(old)
    assert (store.version, store.complete, store.expected) == (1, False, {})
    assert store.keys() == {each.key for each in ROWS[:3]}
    with pytest.raises(FeatureStoreError, match="written by an older nr3d and does not say how"):
        store.require("query")
    with pytest.raises(FeatureStoreError, match=r"other settings \(height was 224"):
        write(old, ROWS, replace(ORIGIN, settings={"height": 1, "precision": "float32"}))
    with pytest.raises(FeatureStoreError, match="has query tracklet 1, and mars has 1 now"):
        write(old, ROWS, replace(ORIGIN, tracklets={"train": 1, "query": 1, "gallery": 1}))
    assert FeatureStore(old).version == 1
    write(old)
    new = FeatureStore(old)
    assert (new.version, new.complete) == (2, True)
    assert everything(old) == everything(write(tmp_path / "new.h5"))


def test_checksums_are_as_the_documentation_says(tmp_path: Path) -> None:
    with h5py.File(write(tmp_path / "f.h5")) as file:
        attributes = {
            name: int(value) if name == "version" else value.decode()
            for name, value in file.attrs.items()
            if name != "crc32"
        }
        columns = {name: file[name][:] for name in file}
        found = crc32_of_tables(attributes, columns, (4, 8), "float32")
        assert found == file.attrs["crc32"]
