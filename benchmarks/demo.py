"""Run ``nr3d demo`` with several seeds and write its figures as Markdown and JSON.

    python benchmarks/demo.py --seeds 0 1 2 --machine "2 cores of an AMD EPYC" --out results/demo

The seeds run one after the other, each in a process of its own, as a user would run them.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any


def run_demo(seed: int, folder: Path) -> dict[str, Any]:
    report = folder / f"seed{seed}.json"
    subprocess.run(
        [
            *(sys.executable, "-m", "nr3d", "demo", "--seed", str(seed)),
            *("--out", str(folder), "--json", str(report)),
        ],
        check=True,
    )
    content: dict[str, Any] = json.loads(report.read_text())
    return content


def as_markdown(runs: list[dict[str, Any]], machine: str) -> str:
    lines = [
        "| seed | rank-1 untrained | rank-1 trained | mAP untrained | mAP trained | in all |",
        "|---|---|---|---|---|---|",
    ]
    for run in runs:
        before, after = (run[part]["results"]["mars"] for part in ("before", "after"))
        lines.append(
            f"| {run['seed']} | {before['rank-1']:.1%} | {after['rank-1']:.1%} "
            f"| {before['mAP']:.1%} | {after['mAP']:.1%} | {run['seconds']:.0f} s |"
        )
    versions = runs[0]["after"]["versions"]
    named = ", ".join(f"{name} {version}" for name, version in versions.items())
    return "\n".join([*lines, "", f"Machine: {machine}; {named}.", ""])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--machine", required=True, help="description of this machine")
    parser.add_argument("--out", type=Path, help="write OUT.md and OUT.json")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        runs = [run_demo(seed, Path(folder)) for seed in args.seeds]
    table = as_markdown(runs, args.machine)
    print(table)
    if args.out is not None:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.with_suffix(".md").write_text(table)
        args.out.with_suffix(".json").write_text(
            json.dumps({"machine": args.machine, "runs": runs}, indent=2) + "\n"
        )


if __name__ == "__main__":
    main()
