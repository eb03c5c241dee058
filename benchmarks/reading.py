"""Time the reading and decoding of frames from loose files and from a pack, in turn.

    python benchmarks/reading.py --machine "2 cores of an AMD EPYC" --out benchmarks/results/reading

The frames are those of a synthetic MARS, or of the real one in --root. Each round reads the same
frames from the files, from the pack, and from the pack through slices of h5py; it decodes them but
does not resize them. Warm means that everything is in the page cache. Cold means that the kernel
was asked to drop the pages of the files and of the pack, which it may do only in part; it keeps the
folders in memory.
"""

from __future__ import annotations

import io
import multiprocessing
import os
import random
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import h5py
from PIL import Image
from reporting import parser_of, ratio, write

from nr3d.data import Pack, in_time_order, pack, read_frame
from nr3d.synthetic import write_mars

SIDES = ("files", "pack", "h5py")
PROCESSES = (1, 2)
PEOPLE_TRACKLETS = 8
"""Tracklets of a person in the synthetic MARS: two under each of four cameras."""

_sliced: dict[str, Any] = {}


def read_sliced(path: str) -> Image.Image:
    """Read a packed frame in the way of a plain HDF5 reader."""
    name, _, rest = path.rpartition("::")
    if name not in _sliced:
        file = h5py.File(name)
        _sliced[name] = file["bytes"], file["frames/offset"][:], file["frames/length"][:]
    frames, offset, length = _sliced[name]
    start = offset[int(rest[:10])]
    data = frames[start : start + length[int(rest[:10])]].tobytes()
    with Image.open(io.BytesIO(data)) as image:
        return image.convert("RGB")


def read_all(side: str, paths: Sequence[str]) -> int:
    for path in paths:
        read_sliced(path) if side == "h5py" else read_frame(path, "of the benchmark")
    return len(paths)


def forget(paths: Sequence[Path]) -> None:
    """Ask the kernel to drop files from the page cache."""
    for path in paths:
        file = os.open(path, os.O_RDONLY)
        os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(file)


def measure(
    paths: dict[str, Sequence[str]], processes: int, rounds: int, cold: Sequence[Path]
) -> dict[str, list[float]]:
    """Return the seconds of each way of reading, round by round, after one round of warm-up."""
    seconds: dict[str, list[float]] = {side: [] for side in SIDES}
    context = multiprocessing.get_context("fork")
    with ProcessPoolExecutor(processes, mp_context=context) as pool:
        for _ in range(rounds + 1):
            for side in SIDES:
                forget(cold)
                parts = [paths[side][place::processes] for place in range(processes)]
                started = time.perf_counter()
                list(pool.map(read_all, [side] * processes, parts))
                seconds[side].append(time.perf_counter() - started)
    return {side: times[1:] for side, times in seconds.items()}


def orders(packed: Pack, frames: int) -> Iterator[tuple[str, list[str]]]:
    """Yield frames in the order of tracklets, and the same frames in random order."""
    tracklets = [in_time_order(paths) for paths, *_ in packed.tracklets("train")]
    random.Random(0).shuffle(tracklets)
    paths = [path for tracklet in tracklets for path in tracklet][:frames]
    yield "by tracklet", paths
    yield "random", random.Random(0).sample(paths, len(paths))


def rows_of(root: Path, file: Path, frames: int, rounds: int) -> list[dict[str, Any]]:
    os.sync()  # pages that are not on the disk yet cannot be dropped
    found = []
    for order, paths in orders(Pack(file), frames):
        loose = [f"{root}/{path.rpartition('::')[2].split('/', 1)[1]}" for path in paths]
        sides = {"files": loose, "pack": paths, "h5py": paths}
        for cache, cold in (("warm", []), ("cold", [file, *map(Path, loose)])):
            for processes in PROCESSES:
                seconds = measure(sides, processes, rounds, cold)
                rates = {f"{s}_fps": len(paths) / statistics.median(seconds[s]) for s in SIDES}
                times = ratio(seconds["files"], seconds["pack"])
                setting = {"order": order, "cache": cache, "processes": processes}
                found.append({**setting, "frames": len(paths), **rates, "ratio": times})
    return found


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument(
        "--root", type=Path, help="root of MARS (default: a synthetic one is drawn)"
    )
    parser.add_argument(
        "--tracklets",
        type=int,
        default=512,
        help="approximate number of tracklets of the synthetic MARS",
    )
    parser.add_argument(
        "--frames", type=int, default=4000, help="greatest number of frames that a round reads"
    )
    parser.add_argument("--rounds", type=int, default=7)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = args.root or Path(folder)
        if args.root is None:
            write_mars(root, identities=max(2, args.tracklets // PEOPLE_TRACKLETS))
        made = pack(root, "mars", Path(folder) / "mars.h5")
        rows = rows_of(root.resolve(), made.file, args.frames, args.rounds)
    lines = [
        "| cache | order | processes | files | pack | pack by h5py slices "
        "| pack by files (least to greatest) |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        r = row["ratio"]
        lines.append(
            f"| {row['cache']} | {row['order']} | {row['processes']} | {row['files_fps']:,.0f} /s "
            f"| {row['pack_fps']:,.0f} /s | {row['h5py_fps']:,.0f} /s "
            f"| {r['median']:.2f} ({r['least']:.2f} to {r['greatest']:.2f}) |"
        )
    frames = f"{rows[0]['frames']:,} of the {made.frames:,} frames"
    dataset = "MARS" if args.root else "a synthetic MARS"
    lines += ["", f"Frames per second; each of {args.rounds} rounds reads {frames} of {dataset}."]
    write(args.out, args.machine, "\n".join(lines), {"pack": {"size": made.size}, "rows": rows})


if __name__ == "__main__":
    main()
