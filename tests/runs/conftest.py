"""Small runs over MARS and over PRID2011 with two splits."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

SMALL = [
    *("model.name", "nr3d_resnet18_ibn", "model.pretrained", "False", "data.height", "32"),
    *("data.width", "16", "train.batch_size", "4", "sampler.num_instances", "2"),
    *("video.seq_len", "2", "data.workers", "0", "train.max_epoch", "1"),
    *("train.precision", "float32", "model.aggregation", "mean"),
]


@pytest.fixture
def reid_data(prid_root: Path, mars_root: Path) -> Path:
    """MARS, and PRID2011 with two splits of its four people."""
    (prid_root / "mars").symlink_to(mars_root / "mars")
    people = [f"person_{person:04d}" for person in range(1, 5)]
    splits = [
        {"train": people[:2], "test": people[2:]},
        {"train": people[2:], "test": people[:2]},
    ]
    (prid_root / "prid2011" / "splits_prid2011.json").write_text(json.dumps(splits))
    return prid_root


def changes(root: Path, out: Path, *more: str) -> list[str]:
    return ["data.root", str(root), "data.save_dir", str(out), *SMALL, *more]
