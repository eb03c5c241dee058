"""Compare evaluation and re-ranking with torchreid's, and measure how their time grows.

    python benchmarks/evaluation.py --machine "2 cores of an AMD EPYC" --mars-info MARS/info \
        --upstream deep-person-reid --large --out benchmarks/results/evaluation

Persons and cameras are those of MARS's test set (1,980 x 9,330); the features are random: a center
for each person, plus noise. The functions of torchreid and nr3d receive the same distances. Their
results are compared first, then they are timed in turn. PyPI's torchreid only has the evaluator's
loop form; upstream's compiled form is compared if a checkout in which it was built is given.

The growth of the time from features to figures is measured once with a larger gallery and once with
more queries and a larger gallery. It is the exponent of a power of the number of distances, where 1
is linear. ``--large`` ranks 20,000 queries in a gallery of 200,000 with 512-dimensional features,
in a process of its own.
"""

from __future__ import annotations

import argparse
import functools
import importlib.util
import json
import math
import statistics
import subprocess
import sys
import time
import unittest.mock
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from reporting import in_turn, parser_of, ratio, write
from scipy.io import loadmat
from torch import Tensor

from nr3d.host import torchreid
from nr3d.metrics import Labels, evaluate_rank, rank, re_ranking

DIM = 128
GALLERIES = ((1, 1), (1, 4), (1, 16))  # multiples of the queries and of the gallery
BOTH = ((1, 1), (2, 2), (4, 4))
LARGE = (20_000, 200_000, 512)
PEOPLE = 20_000  # in the large set, with ten gallery tracklets each
Pair = tuple[Labels, Labels]


def mars_labels(mars_info: Path) -> Pair:
    """Return persons and cameras of MARS's queries and gallery, without its junk."""
    table = loadmat(mars_info / "tracks_test_info.mat")["track_test_info"].astype(np.int64)
    of_query = loadmat(mars_info / "query_IDX.mat")["query_IDX"].ravel().astype(np.int64) - 1
    in_gallery = table[:, 2] != -1
    in_gallery[of_query] = False
    query, gallery = table[of_query], table[in_gallery]
    return Labels(query[:, 2], query[:, 3]), Labels(gallery[:, 2], gallery[:, 3])


def features_of(labels: Labels, centers: Tensor, generator: torch.Generator) -> Tensor:
    noise = torch.randn(len(labels), centers.shape[1], generator=generator)
    return noise.mul_(2).add_(centers[torch.from_numpy(labels.pids)])


def features(query: Labels, gallery: Labels, dim: int = DIM) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    people = 1 + int(max(query.pids.max(), gallery.pids.max()))
    centers = torch.randn(people, dim, generator=generator)
    return features_of(query, centers, generator), features_of(gallery, centers, generator)


def compiled(upstream: Path) -> Callable[..., Any]:
    """Load upstream's compiled evaluator from a checkout in which it was built."""
    folder = upstream / "torchreid" / "metrics" / "rank_cylib"
    found = sorted([*folder.glob("rank_cy*.so"), *folder.glob("rank_cy*.pyd")])
    if not found:
        raise SystemExit(
            f"There is no compiled rank_cy in {folder}: run `python setup.py build_ext --inplace` "
            "there first."
        )
    spec = importlib.util.spec_from_file_location("rank_cy", found[0])
    if spec is None or spec.loader is None:
        raise SystemExit(f"{found[0]} is not a module for this Python.")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    evaluate: Callable[..., Any] = module.evaluate_cy
    return evaluate


def compare(
    name: str, rounds: int, theirs: Callable[[], Any], ours: Callable[[], Any], tolerance: float
) -> dict[str, Any]:
    """Check that two functions return the same, and time them in turn."""
    # torchreid's order of equal distances depends on the sort of the processor; nr3d keeps the
    # gallery's order, as torchreid does with a stable sort.
    stable = functools.partial(np.argsort, kind="stable")
    with unittest.mock.patch("numpy.argsort", stable):
        expected = theirs()
    difference = max(
        float(np.abs(np.asarray(one, np.float64) - np.asarray(other, np.float64)).max())
        for one, other in zip(expected, ours(), strict=True)
    )
    if difference > tolerance:
        raise SystemExit(f"{name}: the results differ by {difference}.")
    their_seconds, own_seconds = in_turn(rounds, theirs, ours)
    return {
        "against": name,
        "their_seconds": statistics.median(their_seconds),
        "own_seconds": statistics.median(own_seconds),
        "ratio": ratio(their_seconds, own_seconds),
        "difference": difference,
    }


def comparisons(labels: Pair, rounds: int, upstream: Path | None) -> list[dict[str, Any]]:
    query, gallery = labels
    one, other = features(query, gallery)

    def distance(a: Tensor, b: Tensor) -> Any:
        return torchreid.metrics.compute_distance_matrix(a, b).numpy()

    q_g, q_q, g_g = distance(one, other), distance(one, one), distance(other, other)
    given = (q_g, query.pids, gallery.pids, query.camids, gallery.camids)

    def ours() -> Any:
        return evaluate_rank(*given)

    rows = [
        compare(
            "evaluate_rank of PyPI's torchreid",
            rounds,
            lambda: torchreid.metrics.evaluate_rank(*given, use_cython=False),
            ours,
            1e-6,
        )
    ]
    if upstream is not None:
        evaluate = compiled(upstream)
        # The compiled form sums in float32.
        rows.append(
            compare(
                "evaluate_rank of upstream, compiled",
                rounds,
                lambda: evaluate(*given, 50),
                ours,
                1e-5,
            )
        )
    rows.append(
        compare(
            "re_ranking of torchreid",
            rounds,
            lambda: [torchreid.utils.re_ranking(q_g, q_q, g_g)],
            lambda: [re_ranking(q_g, q_q, g_g)],
            1e-5,
        )
    )
    return rows


def multiplied(labels: Labels, times: int, step: int) -> Labels:
    """Return several copies of the tracklets, each of different people."""
    pids = np.concatenate([labels.pids + step * n for n in range(times)])
    return Labels(pids, np.tile(labels.camids, times))


def growth(labels: Pair, sizes: Sequence[tuple[int, int]], rounds: int) -> dict[str, Any]:
    """Time rankings from features, for multiples of the queries and of the gallery."""
    step = 1 + max(int(each.pids.max()) for each in labels)
    rows = []
    for times in sizes:
        query, gallery = (multiplied(each, n, step) for each, n in zip(labels, times, strict=True))
        one, other = features(query, gallery)
        ranked = functools.partial(rank, one, other, query, gallery, keep_distances=False)
        seconds = statistics.median(in_turn(rounds, ranked)[0])
        rows.append({"queries": len(query), "gallery": len(gallery), "seconds": seconds})
    work = [float(row["queries"]) * row["gallery"] for row in rows]
    exponent = math.log(rows[-1]["seconds"] / rows[0]["seconds"]) / math.log(work[-1] / work[0])
    return {"rows": rows, "exponent": exponent}


def large() -> dict[str, Any]:
    """Rank the large set, in a process of its own so that its peak memory can be measured."""
    queries, entries, dim = LARGE
    rng = np.random.default_rng(0)
    query = Labels(rng.permutation(queries) % PEOPLE, rng.integers(0, 8, queries))
    gallery = Labels(rng.permutation(entries) % PEOPLE, rng.integers(0, 8, entries))
    one, other = features(query, gallery, dim)
    started = time.perf_counter()
    ranking = rank(one, other, query, gallery)["torchreid"]
    return {
        "queries": queries,
        "gallery": entries,
        "dim": dim,
        "seconds": time.perf_counter() - started,
        "peak_bytes": peak_bytes(),
        "mAP": ranking.mAP,
    }


def peak_bytes() -> int:
    """Return the peak memory of this process in bytes (VmHWM)."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmHWM:"):
            return 1024 * int(line.split()[1])
    raise SystemExit("This system does not report a process's peak memory in /proc/self/status.")


def table_of(figures: dict[str, Any]) -> str:
    lines = [
        "| against | theirs | nr3d | times faster (least to greatest) | greatest difference |",
        "|---|---|---|---|---|",
    ]
    for row in figures["comparisons"]:
        r = row["ratio"]
        lines.append(
            f"| {row['against']} | {row['their_seconds']:.2f} s | {row['own_seconds']:.3f} s "
            f"| {r['median']:.1f} ({r['least']:.1f} to {r['greatest']:.1f}) "
            f"| {row['difference']:.0e} |"
        )
    for name in ("growth_of_gallery", "growth_of_both"):
        grown = figures[name]
        lines += [
            "",
            f"| queries | gallery | from {DIM}-d features to figures |",
            "|---|---|---|",
            *(
                f"| {row['queries']:,} | {row['gallery']:,} | {row['seconds']:.2f} s |"
                for row in grown["rows"]
            ),
            "",
            f"The time grows as the number of distances to the power of {grown['exponent']:.2f}.",
        ]
    if figures["large"]:
        row = figures["large"]
        lines += [
            "",
            f"{row['queries']:,} queries in a gallery of {row['gallery']:,} with {row['dim']}-d "
            f"features: {row['seconds']:.0f} s, with a peak of {row['peak_bytes'] / 2**30:.2f} GiB "
            "in the whole process.",
        ]
    return "\n".join(lines)


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--mars-info", type=Path, required=True, help="folder info of MARS")
    parser.add_argument(
        "--upstream", type=Path, help="upstream checkout in which rank_cylib was built"
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--every", type=int, default=1, help="use every N-th query and gallery entry only"
    )
    parser.add_argument(
        "--large", action="store_true", help="also rank 20,000 queries in 200,000 entries"
    )
    parser.add_argument("--large-alone", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.large_alone:
        sys.stdout.write(json.dumps(large()))
        return
    query, gallery = (each[:: args.every] for each in mars_labels(args.mars_info))
    figures: dict[str, Any] = {
        "threads": torch.get_num_threads(),
        "queries": len(query),
        "gallery": len(gallery),
        "comparisons": comparisons((query, gallery), args.rounds, args.upstream),
        "growth_of_gallery": growth((query, gallery), GALLERIES, args.rounds),
        "growth_of_both": growth((query, gallery), BOTH, args.rounds),
        "large": None,
    }
    if args.large:
        alone = [sys.executable, *sys.argv, "--large-alone"]
        done = subprocess.run(alone, check=True, stdout=subprocess.PIPE, text=True)
        figures["large"] = json.loads(done.stdout)
    write(args.out, args.machine, table_of(figures), figures)


if __name__ == "__main__":
    main()
