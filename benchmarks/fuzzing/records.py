"""Files that runs leave: result.json, splits.json and metrics.jsonl, damaged by bytes or by values.

A result has no checksums: a figure that was changed to another valid one counts as unchecked. Of
the records of a run, only damaged lines may be lost.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from fuzzing import RIGHT, UNCHECKED, WrongError, damaged, refusal
from nr3d.config import as_mapping, load_config
from nr3d.engine.records import FILE_NAME, append_record, drop_records_after, read_records
from nr3d.errors import ConfigError, DataError
from nr3d.runs import table
from nr3d.runs.configuration import changed
from nr3d.runs.standing import standing

_VALUES = (
    *([], {}, 5, 0, -1, 1.5, None, True, "", "x", "mars", [[]], [None], {"a": {}}, 10**30),
    *(float("nan"), float("inf"), "\x00\x1b[31m", "\ud800", "x" * 3000, [1] * 500),
)


def make(folder: Path) -> Callable[[np.random.Generator], str]:
    """Write a run, a run over several splits, and their records."""
    cfg = load_config("mars", ["data.save_dir", str(folder), "test.ranks", "[1, 5]"])
    found = {"protocol": "torchreid", "rank-1": 0.5, "rank-5": 0.75, "mAP": 0.25, "query": 8}
    result: dict[str, Any] = {
        "model": "nr3d_resnet50_ibn",
        "parameters": 76173377,
        "results": {"mars": {**found, "protocols": {"torchreid": found}}},
        "best_rank1": 0.5,
        "bad_frames": [],
        "trained_on": ["mars"],
        "started_from": {"weights": "nr3d_resnet50_ibn.imagenet", "trained_on": ["imagenet"]},
        "config": as_mapping(cfg),
    }
    splits: dict[str, Any] = {
        "dataset": "prid2011",
        "model": "nr3d_resnet50_ibn",
        "trained_on": ["prid2011"],
        "started_from": None,
        "protocol": "torchreid",
        "splits": [{"split": n, "rank-1": n / 4, "mAP": n / 8} for n in range(3)],
        "mean": {"rank-1": 0.25, "mAP": 0.125},
        "std": {"rank-1": 0.25, "mAP": 0.125},
        "save_dir": str(folder),
    }
    files = {"result.json": result, "splits.json": splits}
    for name, content in files.items():
        (folder / name).write_text(json.dumps(content, indent=2) + "\n")
    rows = {}
    for name in files:
        alone = folder / name.removesuffix(".json")
        alone.mkdir()
        (alone / name).write_bytes((folder / name).read_bytes())
        rows[name] = table.read_rows([alone])
    records = [
        {"kind": "epoch", "epoch": n, "loss": 1 / n, "seconds": 0.5} for n in range(1, 6)
    ] + [{"kind": "test", "epoch": None, "dataset": "mars", "rank-1": 0.5}]
    lines = b"".join(json.dumps(record).encode() + b"\n" for record in records)

    def of_results(rng: np.random.Generator) -> str:
        name = str(rng.choice(list(files)))
        alone = folder / name.removesuffix(".json")
        (alone / name).write_bytes(_other(files[name], rng))
        try:
            read = table.read_rows([alone])
            if name == "result.json":
                standing(changed(cfg, "data.save_dir", str(alone)))
        except (DataError, ConfigError) as error:
            return refusal(error, str(alone))
        markdown = table.as_markdown(read)
        if len(markdown.splitlines()) != 2 + len({(r.model, r.trained_first_on) for r in read}):
            raise WrongError(f"a table of {markdown!r}")
        json.dumps(table.as_json(read), allow_nan=False)
        return RIGHT if _plain(read) == _plain(rows[name]) else UNCHECKED

    def of_records(rng: np.random.Generator) -> str:
        path = folder / FILE_NAME
        bad = _other_lines(records, rng) if rng.integers(2) else damaged(lines, rng)
        path.write_bytes(bad)
        whole = {line for line in lines.split(b"\n") if line}
        untouched = [json.loads(line) for line in bad.split(b"\n") if line in whole]
        read = read_records(folder)
        following = iter(read)
        if not all(record in following for record in untouched):
            raise WrongError(f"{len(untouched)} whole lines, read {read!r}"[:500])
        epoch = int(rng.integers(0, 7))
        drop_records_after(folder, epoch)
        kept = [record for record in read if (record.get("epoch") or 0) <= epoch]
        append_record(folder, records[0])
        if (again := read_records(folder)) != [*kept, records[0]] and not _has_nan(kept):
            raise WrongError(f"kept {kept!r}, read {again!r}"[:500])
        return RIGHT if read == untouched else UNCHECKED

    return lambda rng: of_records(rng) if rng.integers(3) == 0 else of_results(rng)


def _plain(rows: list[table.TableRow]) -> Any:
    return [{**row, "folder": ""} for row in table.as_json(rows)["rows"]]


def _has_nan(records: list[dict[str, Any]]) -> bool:
    return "NaN" in json.dumps(records)


def _other(content: dict[str, Any], rng: np.random.Generator) -> bytes:
    """Damage the bytes of a file, or replace some of its values."""
    if rng.integers(2):
        return damaged(json.dumps(content, indent=2).encode() + b"\n", rng)
    other: Any = copy.deepcopy(content)
    for _ in range(int(rng.integers(1, 4))):
        places = list(_places(other))
        if not places or rng.integers(30) == 0:
            other = _VALUES[int(rng.integers(len(_VALUES)))]
            break
        # Most values of the file belong to the configuration, and only a few of those are replaced.
        owner, key = places[int(rng.integers(len(places)) * rng.random() ** 2)]
        if rng.integers(4) == 0:
            del owner[key]
        else:
            owner[key] = copy.deepcopy(_VALUES[int(rng.integers(len(_VALUES)))])
    return json.dumps(other).encode()


def _places(content: Any) -> Iterator[tuple[Any, Any]]:
    keys = range(len(content)) if isinstance(content, list) else content
    if isinstance(content, list | dict):
        yield from ((content, key) for key in keys)
        for key in keys:
            yield from _places(content[key])


def _other_lines(records: list[dict[str, Any]], rng: np.random.Generator) -> bytes:
    found = []
    for record in records:
        line = json.dumps(record).encode()
        if rng.integers(3) == 0:
            kinds = (
                lambda: _other(record, rng).replace(b"\n", b" "),  # noqa: B023 - called at once
                lambda: bytes(int(rng.integers(1, 4096))),
                lambda: json.dumps(_VALUES[int(rng.integers(len(_VALUES)))]).encode(),
                lambda: b"[" * 5000,
                lambda: line[: int(rng.integers(len(line)))],  # noqa: B023
                lambda: b"\xff\xfe" + line,  # noqa: B023
                lambda: b'"' + b"x" * (3 << 20) if rng.integers(20) == 0 else b'"' + b"x" * 100,
            )
            line = kinds[int(rng.integers(len(kinds)))]()
        found.append(line + b"\n")
    return b"".join(found)
