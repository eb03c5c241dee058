"""Packs: written, read, interrupted, damaged; always the same as the loose files."""

from __future__ import annotations

import errno
import filecmp
import io
import json
import multiprocessing
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from filelock import FileLock
from PIL import Image

from nr3d.cli import main
from nr3d.config import load_config
from nr3d.data import ClipDataManager, Pack, convert, in_time_order, pack, read_frame
from nr3d.data.loading import load_dataset
from nr3d.data.packs.reading import open_pack, packed_bytes
from nr3d.errors import ConfigError, DataError, FrameError
from nr3d.report import write_rankings
from nr3d.runs.building import build_datamanager
from nr3d.synthetic import WRITERS
from tests.data.packs.killed_packing import MOMENTS
from tests.features.store.test_store import in_a_child
from tests.files.test_hdf5 import held

FRAMES = 12 * 2 * 2 * 5
"""Of the fixture ``mars_root``: people, cameras, tracklets, frames."""


def manager(root: Path | str, **options: Any) -> ClipDataManager:
    defaults: dict[str, Any] = {
        "root": root,
        "sources": "mars",
        "height": 32,
        "width": 16,
        "batch_size_train": 4,
        "num_instances": 2,
        "workers": 0,
        "seq_len": 4,
    }
    return ClipDataManager(**(defaults | options))


def everything(data: ClipDataManager, pack_file: Path | None = None) -> list[Any]:
    """All that a data manager gives, with the files' paths below the root alone."""

    def plain(value: Any) -> Any:
        if isinstance(value, torch.Tensor):
            return value.numpy().tobytes(), value.dtype, value.shape
        return value

    def name(path: str) -> str:
        return path.split("::")[-1].split("/", 1)[1] if pack_file else path[len(data.root) + 1 :]

    loaders = [data.train_loader]
    tracklets = [data.train_tracklets]
    for target in data.targets:
        loaders += data.test_loader[target].values()
        tracklets += data.test_dataset[target].values()
    return [
        data.num_train_pids,
        data.num_train_cams,
        [[(tuple(map(name, t[0])), *map(int, t[1:])) for t in part] for part in tracklets],
        [[{k: plain(v) for k, v in batch.items()} for batch in loader] for loader in loaders],
    ]


def of_files(root: Path, **options: Any) -> list[Any]:
    data = manager(root, **options)
    data.root = str(root)
    return everything(data)


def of_pack(file: Path, **options: Any) -> list[Any]:
    return everything(manager("/nowhere", pack=file, **options), file)


@pytest.fixture(scope="module")
def packed(mars_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pack that nobody may change."""
    return pack(mars_root, "mars", tmp_path_factory.mktemp("packed") / "mars.h5").file


@pytest.fixture
def own_pack(packed: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(packed, tmp_path / "own.h5"))


# The same as the files


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_are_those_of_the_files_which_may_be_gone(
    own_mars_root: Path, tmp_path: Path, workers: int
) -> None:
    augmented = {"transforms": ["random_flip", "random_crop", "random_erase"]}
    expected = of_files(own_mars_root, **augmented)
    file = pack(own_mars_root, "mars", tmp_path / "mars.h5").file
    shutil.rmtree(own_mars_root)
    assert of_pack(file, workers=workers, **augmented) == expected


@pytest.mark.parametrize("combineall", [False, True])
def test_prid2011(prid_root: Path, tmp_path: Path, combineall: bool) -> None:
    options = {"sources": "prid2011", "combineall": combineall}
    file = pack(prid_root, "prid2011", tmp_path / "prid.h5").file
    assert of_pack(file, **options) == of_files(prid_root, **options)
    assert manager("/nowhere", pack=file, **options).num_train_pids == (4 if combineall else 2)


def test_ilidsvid_of_a_split(tmp_path: Path) -> None:
    WRITERS["ilidsvid"](tmp_path, 4, 0, frames=(2, 3))
    options = {"sources": "ilidsvid", "split_id": 3}
    file = pack(tmp_path, "ilidsvid", tmp_path / "ilids.h5", split_id=3).file
    assert of_pack(file, **options) == of_files(tmp_path, **options)
    with pytest.raises(ConfigError, match=r"split_id is 0, and .*ilids.h5 holds split 3 of ilids"):
        manager(tmp_path, sources="ilidsvid", pack=file)


def test_a_converted_dataset(shop: Path, tmp_path: Path, own_datasets: dict[str, object]) -> None:
    convert(shop)
    file = pack(tmp_path, "shop", tmp_path / "shop.h5", split_id=4).file
    expected = of_files(tmp_path, sources="shop")
    del own_datasets["shop"]  # as in a process that only has the pack
    shutil.rmtree(shop)
    assert of_pack(file, sources="shop", split_id=7) == expected


def test_the_other_datasets_come_from_the_root(packed: Path, prid_root: Path) -> None:
    options = {"sources": ["mars", "prid2011"], "targets": "prid2011"}
    data = manager(prid_root, pack=packed, **options)
    assert data.num_train_pids == 8 + 2
    assert {path.startswith(f"{packed}::") for paths, *_ in data.train_tracklets for path in paths}
    (prid_root / "mars").symlink_to(packed.parent)  # nothing of it is looked at
    assert next(iter(data.train_loader))["img"].shape == (4, 4, 3, 32, 16)
    with pytest.raises(DataError, match="no folder /nowhere"):
        manager("/nowhere", pack=packed, **options)


def test_paths_sort_as_the_files_do(mars_root: Path, packed: Path) -> None:
    files = sorted(str(path.relative_to(mars_root)) for path in mars_root.rglob("*.jpg"))
    paths = list(map(Pack(packed).frame, range(FRAMES)))
    random.Random(0).shuffle(paths)
    assert [path.split("/mars/")[-1] for path in sorted(paths)] == [f[5:] for f in files]
    assert in_time_order(paths[:5]) == tuple(sorted(paths[:5], key=lambda path: path[-24:]))


def test_a_frame_in_several_tracklets_is_there_once(packed: Path) -> None:
    with h5py.File(packed) as file:
        assert len(file["frames/path"]) == FRAMES
        assert len(set(file["frames/path"][:])) == FRAMES
        assert file["bytes"].shape == (file["frames/length"][:].sum(),)


def test_a_plain_hdf5_reader_can_use_it(mars_root: Path, packed: Path) -> None:
    with h5py.File(packed) as file:
        assert (file.attrs["dataset"], file.attrs["complete"]) == ("mars", 1)
        index = file["query/frame"][file["query/start"][3]]
        offset, length = file["frames/offset"][index], file["frames/length"][index]
        encoded = file["bytes"][offset : offset + length].tobytes()
        original = mars_root / file["frames/path"][index].decode()
        assert encoded == original.read_bytes()
        assert file["query/pid"][3] == int(original.parent.name)
        assert Image.open(io.BytesIO(encoded)).size == (32, 64)


def test_a_spawned_process_opens_the_pack_itself(packed: Path) -> None:
    path = open_pack(packed).frame(7)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply(packed_bytes, (path,)) == packed_bytes(path)


def test_rankings_are_drawn_of_a_pack(mars_root: Path, packed: Path, tmp_path: Path) -> None:
    pages = []
    for name, data in (
        ("files", manager(mars_root)),
        ("pack", manager("/nowhere", pack=packed)),
    ):
        query, gallery = data.test_dataset["mars"]["query"], data.test_dataset["mars"]["gallery"]
        distances = np.arange(64.0).reshape(8, 8)
        pages.append(write_rankings(distances, query, gallery, tmp_path / name, topk=2)[0])
    assert filecmp.cmp(*pages, shallow=False)


def test_a_file_is_never_taken_for_a_packed_frame(own_mars_root: Path, tmp_path: Path) -> None:
    # A pack in a folder and of a name that look like one, and files beside it that do.
    home = tmp_path / "a.h5::0000000001" / "b"
    file = pack(own_mars_root, "mars", home / "mars::0000000002.h5").file
    path = open_pack(file).frame(3)
    assert packed_bytes(path) == (own_mars_root / "mars" / path.split("/mars/")[-1]).read_bytes()
    for name in ("mars::0000000002.h5::0000000003/0001/1.png", "none::0000000000/0001/1.png"):
        loose = home / name
        loose.parent.mkdir(parents=True)
        Image.new("RGB", (2, 3)).save(loose)
        assert packed_bytes(str(loose)) is None
        assert read_frame(str(loose), "t").size == (2, 3)


# Bad frames


def test_bad_files_are_packed_as_they_are(own_mars_root: Path, tmp_path: Path) -> None:
    folder = own_mars_root / "mars" / "bbox_test" / "0002"
    for name, content in (("1F002", b"no image"), ("1F003", b""), ("1F004", None)):
        path = folder / f"0002C1T000{name}.jpg"
        path.write_bytes(path.read_bytes()[:300] if content is None else content)
    file = pack(own_mars_root, "mars", tmp_path / "mars.h5").file
    assert of_pack(file, bad_frames="skip", sources="mars")[2:] != []
    for number in (2, 3, 4):
        reasons = []
        for path in (
            str(folder / f"0002C1T0001F00{number}.jpg"),
            next(p for p in map(Pack(file).frame, range(80)) if f"0002C1T0001F00{number}" in p),
        ):
            with pytest.raises(FrameError) as caught:
                read_frame(path, "t")
            reasons.append(str(caught.value).replace(path, "PATH"))
        assert reasons[0] == reasons[1]


@pytest.mark.parametrize("workers", [0, 2])
def test_a_damaged_frame_is_named_and_can_be_skipped(own_pack: Path, workers: int) -> None:
    with h5py.File(own_pack, "r+") as file:
        frame = file["query/frame"][2]
        file["bytes"][file["frames/offset"][frame] + 30] ^= 1
    path = Pack(own_pack).frame(frame)
    with pytest.raises(FrameError, match=rf"Frame {path} of .*in the pack {own_pack} do not fit"):
        list(manager("", pack=own_pack, workers=workers).test_loader["mars"]["query"])
    data = manager("", pack=own_pack, workers=workers, bad_frames="skip")
    list(data.test_loader["mars"]["query"])
    assert data.bad_frames == {path}


# Packs that cannot be used


def truncated(file: Path) -> None:
    os.truncate(file, file.stat().st_size - 1)


def with_attribute(name: str, value: Any) -> Callable[[Path], None]:
    def change(file: Path) -> None:
        with h5py.File(file, "r+") as opened:
            opened.attrs[name] = value

    return change


def without_a_table(file: Path) -> None:
    with h5py.File(file, "r+") as opened:
        del opened["frames/length"]


def with_a_changed_table(file: Path) -> None:
    with h5py.File(file) as opened:
        place = opened["train/pid"].id.get_chunk_info(0).byte_offset
    with file.open("rb+") as raw:
        raw.seek(place + 12)
        byte = raw.read(1)[0]
        raw.seek(place + 12)
        raw.write(bytes([byte ^ 4]))


def with_table(name: str, edit: Callable[[Any], Any]) -> Callable[[Path], None]:
    """Write another table, whose own checksum then fits."""

    def change(file: Path) -> None:
        with h5py.File(file, "r+") as opened:
            table = edit(opened[name][:])
            del opened[name]
            opened.create_dataset(name, data=table, compression="gzip", fletcher32=True)

    return change


def with_other_bytes(name: str) -> Callable[[Path], None]:
    """Say of a table's numbers that their bytes are the other way round; no checksum is of that."""

    def change(file: Path) -> None:
        with h5py.File(file, "r+") as opened:
            low = h5py.h5d.open(opened.id, name.encode())
            plist, table = low.get_create_plist(), low.get_chunk_info(0)
            _, raw = low.read_direct_chunk(table.chunk_offset)
            shape = opened[name].shape
            del opened[name]
            space = h5py.h5s.create_simple(shape)
            other = h5py.h5d.create(opened.id, name.encode(), h5py.h5t.STD_I64BE, space, plist)
            other.write_direct_chunk((0,), raw)

    return change


def swapped(file: Path) -> None:
    with h5py.File(file, "r+") as opened:
        opened.move("query", "other")
        opened.move("gallery", "query")
        opened.move("other", "gallery")


def without_queries(file: Path) -> None:
    for name, rows in {"pid": 0, "camid": 0, "dsetid": 0, "start": 1, "frame": 0}.items():
        with_table(f"query/{name}", lambda table, rows=rows: table[:rows])(file)


OTHER = "its dataset, split or tables are not those that were packed"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (with_attribute("dataset", "marz"), OTHER),
        (with_attribute("split_id", 0), OTHER),
        (with_attribute("tables", "0" * 64), OTHER),
        (swapped, OTHER),
        (with_table("train/pid", lambda table: table + 1), OTHER),
        (with_table("frames/path", lambda table: np.char.upper(table)), OTHER),
        (with_other_bytes("train/pid"), OTHER),
        (with_table("frames/offset", lambda table: table + 2**62), "frames that lie outside of it"),
        (with_table("frames/length", lambda table: table[1:]), "frames are not of one length"),
        (with_table("query/frame", lambda table: table - 1), "query has frames that are not there"),
        (with_table("train/start", lambda table: table[::-1].copy()), "do not fit each other"),
        (without_queries, "it has tracklets of train and gallery only"),
        (with_table("train/pid", lambda table: table[:0]), "of train are empty or not of one"),
        (with_table("train/pid", lambda table: table / 2), "pid' is float64 of 1 dimensions"),
        (with_table("train/frame", lambda table: np.tile(table, 99)), "rows, and 15,361 fit"),
        (lambda file: (file.unlink(), os.mkfifo(file)), "There is no pack"),
        (Path.unlink, r"no pack .*own.h5. Make it: nr3d pack --root"),
        (lambda file: file.write_bytes(b"text"), "cannot be read as a pack.*signature not found"),
        (lambda file: h5py.File(file, "w").close(), "not a pack: its format is None, expected"),
        (with_attribute("version", 2), "a pack of version 2, expected 1. Make it again: nr3d pack"),
        (with_attribute("complete", 0), "not whole: its packing was interrupted. Run that"),
        (truncated, "cannot be read as a pack .*truncated"),
        (without_a_table, "cannot be read as a pack .*length"),
        (with_a_changed_table, "cannot be read as a pack"),
    ],
)
def test_an_unusable_pack_says_what_is_wrong(
    own_pack: Path, change: Callable[[Path], None], message: str
) -> None:
    change(own_pack)
    with pytest.raises(DataError, match=message) as caught:
        manager("", pack=own_pack)
    assert str(own_pack) in str(caught.value)


def test_a_pack_from_before_its_tables_had_a_checksum_is_read(own_pack: Path) -> None:
    before = Pack(own_pack).tracklets("train")
    with h5py.File(own_pack, "r+") as opened:
        del opened.attrs["tables"]
    assert Pack(own_pack).tracklets("train") == before


def test_a_dataset_without_a_query_is_not_packed(
    mars_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def without(*args: Any, **options: Any) -> Any:
        loaded = load_dataset(*args, **options)
        loaded.query = []
        return loaded

    monkeypatch.setattr("nr3d.data.packs.tables.load_dataset", without)
    with pytest.raises(DataError, match="'mars' has no tracklet in its query"):
        pack(mars_root, "mars", tmp_path / "mars.h5")


def test_a_pack_of_no_dataset_that_is_named(packed: Path, prid_root: Path) -> None:
    with pytest.raises(DataError, match=r"is a pack of 'mars', and .* name prid2011"):
        manager(prid_root, sources="prid2011", pack=packed)


# Packing that cannot be done


def left(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_a_missing_frame_is_an_error(own_mars_root: Path, tmp_path: Path) -> None:
    for number in (2, 5):
        (own_mars_root / "mars" / f"bbox_train/0001/0001C1T0001F00{number}.jpg").unlink()
    out = tmp_path / "out" / "mars.h5"
    with pytest.raises(DataError, match=r"lacks 2 of its 120 frames .*first .*0001C1T0001F002.jpg"):
        pack(own_mars_root, "mars", out)
    assert left(out.parent) == set()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names")
@pytest.mark.parametrize("when", ["before", "meanwhile"])
def test_a_pipe_is_not_waited_for(when: str, own_mars_root: Path, tmp_path: Path) -> None:
    path = own_mars_root / "mars/bbox_train/0001/0001C1T0001F002.jpg"

    def replace(*given: Any) -> Any:
        path.unlink()
        os.mkfifo(path)
        return given[0] if given else None

    progress = replace if when == "meanwhile" else lambda frames, total: frames
    if when == "before":
        replace()
    with pytest.raises(DataError, match=rf"Frame {path} cannot be packed \(is a pipe, not a file"):
        pack(own_mars_root, "mars", tmp_path / "mars.h5", progress=progress)


def test_a_file_that_is_there_is_replaced_only_if_asked(
    own_mars_root: Path, tmp_path: Path
) -> None:
    out = tmp_path / "mars.h5"
    out.write_text("mine")
    with pytest.raises(DataError, match=r"mars.h5 is there already.*--replace"):
        pack(own_mars_root, "mars", out)
    assert out.read_text() == "mine"
    pack(own_mars_root, "mars", out, replace=True)
    assert len(Pack(out)) == 120
    with pytest.raises(DataError, match=r"is there already: give another --out\.$"):
        pack(own_mars_root, "mars", tmp_path, replace=True)


def test_one_process_packs_into_a_file(mars_root: Path, tmp_path: Path) -> None:
    lock = FileLock(tmp_path / ".mars.h5.lock")
    with lock, pytest.raises(DataError, match=r"mars.h5 is being written by another process: w"):
        pack(mars_root, "mars", tmp_path / "mars.h5")


def test_a_frame_that_changes_meanwhile(own_mars_root: Path, tmp_path: Path) -> None:
    def grow(frames: Any, total: int) -> Any:
        path = own_mars_root / "mars" / "bbox_train" / "0003" / "0003C2T0001F001.jpg"
        path.write_bytes(path.read_bytes() + b"!")
        return frames

    with pytest.raises(DataError, match=r"0003C2T0001F001.jpg has \d+ bytes, and had \d+ as"):
        pack(own_mars_root, "mars", tmp_path / "mars.h5", progress=grow)
    assert not (tmp_path / "mars.h5").exists()


@pytest.mark.parametrize("limit", [0, 5000, 100_000])
def test_tables_that_do_not_fit_on_the_disk_end_in_an_error(
    mars_root: Path, tmp_path: Path, limit: int
) -> None:
    def fill() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        with pytest.raises(DataError, match=r"m.h5 cannot be written \(.*: .*, and pack again"):
            pack(mars_root, "mars", tmp_path / "m.h5", workers=1)
        # What HDF5 was left with it would trip over as the interpreter ends.
        os._exit(8 if h5py.h5f.get_obj_count(h5py.h5f.OBJ_ALL, h5py.h5f.OBJ_FILE) else 7)

    assert in_a_child(fill) == 7
    (tmp_path / ".m.h5.begun").write_bytes(b"of one that was killed")
    assert of_pack(pack(mars_root, "mars", tmp_path / "m.h5").file) == of_files(mars_root)
    assert [path.name for path in tmp_path.iterdir()] == ["m.h5"]


def test_a_pack_that_another_process_has_open_is_not_called_damaged(own_pack: Path) -> None:
    with (
        held(own_pack),
        pytest.raises(DataError, match=r"own.h5 is open in another process that writes"),
    ):
        Pack(own_pack)
    assert len(Pack(own_pack)) == FRAMES


def test_a_disk_that_is_too_full(
    mars_root: Path, packed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "mars.h5"
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(9, 9, 0))
        with pytest.raises(DataError, match=r"mars.h5 cannot be written .*bytes to write, and 0"):
            pack(mars_root, "mars", out)
    assert left(tmp_path) == set()
    write, calls = os.pwrite, 0

    def full(file: int, data: bytes, at: int) -> int:
        nonlocal calls
        calls += 1
        if calls > 41:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(file, data[:100], at)  # as a disk does that takes a part

    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", full)
        with pytest.raises(DataError, match=r"No space left on device.*make room .*resumes where"):
            pack(mars_root, "mars", out)
    assert left(tmp_path) == {".mars.h5.partial"}
    pack(mars_root, "mars", out)
    assert filecmp.cmp(out, packed, shallow=False)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"root": "/nowhere"}, DataError, "no folder /nowhere"),
        ({"dataset": "prid2011"}, DataError, "'prid2011' cannot be loaded from"),
        ({"dataset": "nonsense"}, DataError, "nonsense.*expected to be one of"),
        ({"out": "/proc/nr3d.h5"}, DataError, "folder /proc cannot be written in"),
        ({"workers": 0}, ConfigError, "workers is 0, expected at least 1"),
    ],
)
def test_what_cannot_be_packed_says_why(
    mars_root: Path, tmp_path: Path, options: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        pack(**({"root": mars_root, "dataset": "mars", "out": tmp_path / "x.h5"} | options))


def test_a_root_that_may_not_be_read(
    mars_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    iterdir = Path.iterdir

    def refuse(path: Path) -> Iterator[Path]:
        if path == mars_root:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return iterdir(path)

    monkeypatch.setattr(Path, "iterdir", refuse)
    with pytest.raises(DataError, match=f"There is no access to {mars_root}: give the folder"):
        pack(mars_root, "mars", tmp_path / "mars.h5")


# Interrupted packing


@pytest.fixture(scope="module")
def killed(mars_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One pack left alone, and one killed at each moment and gone on with."""
    out = tmp_path_factory.mktemp("killed")
    done = subprocess.run(
        [sys.executable, "-m", "tests.data.packs.killed_packing", mars_root, out],
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return out


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_killed_packing_ends_as_if_it_had_been_left_alone(killed: Path, moment: str) -> None:
    assert filecmp.cmp(killed / f"{moment}.h5", killed / "whole.h5", shallow=False)
    read = json.loads((killed / f"{moment}.json").read_text())
    # The frame that was half there is read again, and none before it.
    there = {"frame": 20, "crc32": 20, "bytes": FRAMES, "complete": FRAMES}.get(moment, 0)
    assert read == FRAMES - there
    assert [path for path in killed.iterdir() if path.suffix in (".partial", ".begun")] == []


@pytest.mark.parametrize("change", ["size", "time", "table", "damage"])
def test_a_packing_of_other_files_starts_anew(
    own_mars_root: Path, tmp_path: Path, change: str, caplog: pytest.LogCaptureFixture
) -> None:
    def stop(frames: Any, total: int) -> Any:
        list(frames)
        raise KeyboardInterrupt

    out, partial = tmp_path / "mars.h5", tmp_path / ".mars.h5.partial"
    with pytest.raises(KeyboardInterrupt):
        pack(own_mars_root, "mars", out, progress=stop)
    assert partial.exists()
    path = own_mars_root / "mars" / "bbox_train" / "0001" / "0001C1T0001F001.jpg"
    if change == "size":
        path.write_bytes(path.read_bytes() + b"!")
    elif change == "time":
        path.write_bytes(bytes(reversed(path.read_bytes())))
    elif change == "table":
        own_mars_root = own_mars_root.rename(tmp_path / "moved")
        path = own_mars_root / path.relative_to(tmp_path / "data")
    else:
        truncated(partial)
    caplog.set_level("INFO", "nr3d")
    pack(own_mars_root, "mars", out)
    assert f"Starting anew: {partial}" in caplog.text
    made = Pack(out)
    (index,) = (i for i in range(len(made)) if made.frame(i).endswith(f"/{path.name}"))
    assert made.read(index) == path.read_bytes()


# By the command line


def test_the_command_and_the_configuration_key(
    mars_root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "of mars.h5"
    words = ["pack", "--root", str(mars_root), "--dataset", "mars", "--out", str(out)]
    assert main([*words, "--workers", "2"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith(f"{out}: 240 frames of 48 tracklets, 0.")
    assert printed.endswith(f" s. Use it by data.pack '{out}'\n")
    assert main(words) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert main([*words, "--replace", "--workers", "0"]) == 2
    assert "workers is 0, expected at least 1" in capsys.readouterr().err
    assert main([*words, "--replace"]) == 0
    changes = ["data.pack", str(out), "data.root", "/nowhere", "train.batch_size", "8"]
    data = build_datamanager(load_config("synthetic", [*changes, "sampler.num_instances", "2"]))
    assert data.num_train_pids == 8


def test_the_command_packs_the_split_that_it_is_told(prid_root: Path, tmp_path: Path) -> None:
    file = prid_root / "prid2011" / "splits_prid2011.json"
    (split,) = json.loads(file.read_text())
    file.write_text(json.dumps([split, {"train": split["test"], "test": split["train"]}]))
    out = tmp_path / "prid.h5"
    words = ["pack", "--root", str(prid_root), "--dataset", "prid2011", "--out", str(out)]
    assert main([*words, "--split-id", "1"]) == 0
    options = {"batch_size_train": 2, "num_instances": 1, "workers": 0}
    data = ClipDataManager("/nowhere", "prid2011", pack=out, split_id=1, **options)
    paths, *_ = data.test_dataset["prid2011"]["query"][0]
    assert split["train"][0] in paths[0]
