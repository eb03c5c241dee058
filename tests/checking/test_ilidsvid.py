"""The check of iLIDS-VID finds what is damaged, names the file and says the remedy."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy.io import loadmat, savemat

from nr3d.checking import Finding, Report, check_dataset
from nr3d.checking.ilidsvid import PUBLISHED
from nr3d.data.datasets.two_cameras import check_splits, people_under
from nr3d.errors import ConfigError, DataError
from nr3d.host import torchreid
from nr3d.synthetic import write_ilidsvid

CAM1, CAM2 = "i-LIDS-VID/sequences/cam1", "i-LIDS-VID/sequences/cam2"
TABLE = "train-test people splits/train_test_splits_ilidsvid.mat"


def load(root: Path) -> None:
    torchreid.data.datasets.init_video_dataset(
        "ilidsvid", root=str(root), transform=lambda image: image, verbose=False
    )


def edit_table(base: Path, edit: Callable[[np.ndarray], np.ndarray | None]) -> None:
    table = loadmat(base / TABLE)["ls_set"]
    changed = edit(table)
    savemat(base / TABLE, {"ls_set": table if changed is None else changed})


def repeat(table: np.ndarray) -> None:
    table[4, 0] = table[4, 1]


def test_it_is_right_as_unpacked_and_after_torchreid_made_its_splits(ilids_root: Path) -> None:
    report = check_dataset("ilidsvid", ilids_root)
    assert report.findings == []
    assert report.counts == report.published == PUBLISHED
    assert report.decoded == 1200
    load(ilids_root)
    assert (ilids_root / "ilids-vid" / "splits.json").is_file()
    again = check_dataset("ilidsvid", ilids_root, quick=True)
    assert again.counts == PUBLISHED
    assert [finding.level for finding in again.findings] == ["note"]


def test_the_splits_of_the_table_are_those_that_torchreid_makes(
    ilids_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checked = []

    def keep(
        report: Report, source: str, splits: list[dict[str, list[str]]], remedy: str
    ) -> object:
        checked.append((source, splits))
        return check_splits(report, source, splits, remedy)

    monkeypatch.setattr("nr3d.checking.ilidsvid.check_splits", keep)
    check_dataset("ilidsvid", ilids_root, quick=True)
    load(ilids_root)
    made = json.loads((ilids_root / "ilids-vid" / "splits.json").read_text())
    assert checked == [(TABLE, made)]


def test_a_synthetic_set_is_right(tmp_path: Path) -> None:
    write_ilidsvid(tmp_path, identities=4, frames=(1, 2), seed=1)
    report = check_dataset("ilidsvid", tmp_path)
    assert [finding.level for finding in report.findings] == ["note"]


def frame_of(base: Path, camera: str, person: str) -> Path:
    return base / camera / person / f"{Path(camera).name}_{person}_00009.png"


UNPACK = "Unpack iLIDS-VID.tar into {base}, whole."
DAMAGES: dict[str, tuple[Callable[[Path], object], str, str, str | None, str]] = {
    # what is done: level, words of the finding, a place, words of the remedy
    "no sequences": (
        lambda base: shutil.rmtree(base / CAM2),
        *("error", f"There is no {{base}}/{CAM2}", None, UNPACK),
    ),
    "unpacked twice": (
        lambda base: shutil.move(base / "i-LIDS-VID", base / "iLIDS-VID" / "i-LIDS-VID"),
        *("error", f"There is no {{base}}/{CAM1}", None, f"Move {{base}}/iLIDS-VID/{CAM1} there."),
    ),
    "no table": (
        lambda base: (base / TABLE).unlink(),
        *("error", f"There is no {{base}}/{TABLE}", None, UNPACK),
    ),
    "no table's folder": (
        lambda base: (load(base.parent), shutil.rmtree(base / "train-test people splits")),
        *("error", "There is no {base}/train-test people splits", None, UNPACK),
    ),
    "half a table": (
        lambda base: (base / TABLE).write_bytes((base / TABLE).read_bytes()[:900]),
        *("error", f"{{base}}/{TABLE} cannot be read as a MATLAB file", None, UNPACK),
    ),
    "nine splits": (
        lambda base: edit_table(base, lambda table: table[:9]),
        *("error", "is uint16 of shape (9, 300), expected whole numbers, 10 × 300", None, UNPACK),
    ),
    "someone twice in the table": (
        lambda base: edit_table(base, repeat),
        *("error", f"Splits of {TABLE} that are not each of 1 to 300 once", "split 4", UNPACK),
    ),
    "someone under one camera only": (
        lambda base: shutil.rmtree(base / CAM2 / "person003"),
        *("error", "People under one camera only", f"{CAM1}/person003", UNPACK),
    ),
    "someone missing": (
        lambda base: [shutil.rmtree(base / camera / "person003") for camera in (CAM1, CAM2)],
        *("error", f"{{base}}/{CAM1} has 299 people, expected 300", None, UNPACK),
    ),
    "a file among the people": (
        lambda base: [(base / camera / "Thumbs.db").touch() for camera in (CAM1, CAM2)],
        *(
            "error",
            f"Files among the people's folders, which torchreid counts as people of {TABLE}",
        ),
        *(f"{CAM1}/Thumbs.db", "Remove them."),
    ),
    "someone missing after the splits were made": (
        lambda base: (load(base.parent), shutil.rmtree(base / CAM1 / "person003")),
        *("error", "People of splits.json without a folder", f"{CAM1}/person003", UNPACK),
    ),
    "half of the splits": (
        lambda base: (base / "splits.json").write_text('[{"train": ["person001"'),
        *("error", "{base}/splits.json cannot be read as JSON", None),
        f"Delete it: torchreid makes it from '{TABLE}'",
    ),
    "someone in both halves": (
        lambda base: (base / "splits.json").write_text(
            '[{"train": ["person001", "person002"], "test": ["person002"]}]'
        ),
        *("error", "People who both train and test in splits.json", "split 0: person002"),
        "Delete it",
    ),
    "an empty folder": (
        lambda base: [path.unlink() for path in (base / CAM2 / "person004").iterdir()],
        *("error", "without a .png, where the loader stops", f"{CAM2}/person004", UNPACK),
    ),
    "unreadable": (
        lambda base: (
            frame_of(base, CAM1, "person005").unlink(),
            frame_of(base, CAM1, "person005").write_bytes(b"\x89PNG"),
        ),
        *("error", "Frames that cannot be read", f"{CAM1}/person005/cam1_person005_00009.png"),
        "Unpack these files again",
    ),
}
SILENT = ("unreadable", "someone in both halves", "someone twice in the table")
"""Damages that torchreid loads without a word."""


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damage_is_found_and_named_with_its_mend(
    damage: str, ilids_root: Path, only: Callable[..., Finding]
) -> None:
    base = ilids_root / "ilids-vid"
    do, level, what, place, remedy = DAMAGES[damage]
    do(base)
    report = check_dataset("ilidsvid", ilids_root, quick=damage != "unreadable")
    finding = only(report, level, what.format(base=base))
    assert remedy.format(base=base) in finding.remedy
    if place is None:
        assert finding.places == ()
    else:
        assert place in finding.places
    if damage in SILENT:
        load(ilids_root)
    else:
        with pytest.raises((RuntimeError, AssertionError, OSError, ValueError, LookupError)):
            load(ilids_root)


def test_files_do_not_count_as_people(ilids_root: Path) -> None:
    base = ilids_root / "ilids-vid"
    (base / CAM1 / "Thumbs.db").touch()
    report = Report("ilidsvid", base)
    assert len(people_under(report, CAM1)) == 300


def test_the_folders_name_is_not_the_datasets(ilids_root: Path) -> None:
    with pytest.raises(ConfigError, match="called 'ilidsvid' by torchreid"):
        check_dataset("ilids-vid", ilids_root)
    with pytest.raises(DataError, match="There is no folder"):
        check_dataset("ilidsvid", ilids_root / "nowhere")
