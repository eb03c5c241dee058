"""What the tests of checks share: finding a finding, and iLIDS-VID's layout at its true size."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from nr3d.data.checking import Finding, Report

Only = Callable[..., Finding]


@pytest.fixture
def only() -> Only:
    """Give the one finding of a level with these words, which no other may have."""

    def find(report: Report, level: str, words: str) -> Finding:
        found = [finding for finding in report.findings if words in finding.what]
        assert len(found) == 1, report.findings
        assert found[0].level == level
        return found[0]

    return find


@pytest.fixture
def ilids_root(tmp_path: Path) -> Path:
    """iLIDS-VID as it is unpacked: 300 people, two frames each under two cameras."""
    base = tmp_path / "ilids-vid"
    frame = tmp_path / "frame.png"
    Image.new("RGB", (4, 8), (10, 20, 30)).save(frame)
    for camera in ("cam1", "cam2"):
        for person in range(1, 301):
            # numbers with holes, as in the original: the order of the names is what counts
            name = f"person{person + person // 10:03d}"
            home = base / "i-LIDS-VID" / "sequences" / camera / name
            home.mkdir(parents=True)
            for number in (9, 10):
                (home / f"{camera}_{name}_{number:05d}.png").hardlink_to(frame)
    rng = np.random.default_rng(0)
    table = np.array([rng.permutation(300) + 1 for _ in range(10)], np.uint16)
    home = base / "train-test people splits"
    home.mkdir()
    savemat(home / "train_test_splits_ilidsvid.mat", {"ls_set": table})
    return tmp_path
