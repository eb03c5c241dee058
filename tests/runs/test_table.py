"""The results of finished runs, laid out like the paper's table."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from nr3d.cli import main


def write_run(
    folder: Path, dataset: str, trained_on: list[str], first: list[str], rank1: float
) -> Path:
    folder.mkdir(parents=True)
    result: dict[str, Any] = {
        "model": "nr3d_resnet50_ibn",
        "trained_on": trained_on,
        "started_from": {"weights": "somewhere", "trained_on": first},
        "results": {dataset: {"rank-1": rank1, "rank-5": 0.9, "mAP": 0.5, "query": 4}},
    }
    (folder / "result.json").write_text(json.dumps(result))
    return folder


def write_splits(folder: Path, first: list[str], shares: list[float]) -> Path:
    folder.mkdir(parents=True)
    summary: dict[str, Any] = {
        "model": "nr3d_resnet50_ibn",
        "dataset": "prid2011",
        "trained_on": ["prid2011"],
        "started_from": {"weights": "somewhere", "trained_on": first} if first else None,
        "splits": [{"split": i, "rank-1": x, "mAP": x} for i, x in enumerate(shares)],
        "mean": {"rank-1": sum(shares) / len(shares), "mAP": sum(shares) / len(shares)},
        "std": {"rank-1": 0.0125, "mAP": 0.0125} if len(shares) > 1 else {"rank-1": None},
        "save_dir": str(folder),
    }
    (folder / "splits.json").write_text(json.dumps(summary))
    return folder


def test_rows_are_what_was_trained_first_and_columns_the_datasets(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folders = [
        write_splits(tmp_path / "prid_from_mars", ["mars"], [0.75]),
        write_run(tmp_path / "mars", "mars", ["mars"], ["imagenet"], 0.8962),
        write_run(tmp_path / "both", "mars", ["mars", "ilidsvid"], ["imagenet"], 0.8821),
        write_splits(tmp_path / "prid", [], [0.25, 0.5]),
    ]
    words = ["--markdown", str(tmp_path / "t.md"), "--json", str(tmp_path / "t.json")]
    assert main(["table", *map(str, folders), *words]) == 0
    table = (tmp_path / "t.md").read_text()
    assert table.splitlines() == [
        "| model | trained on | MARS | PRID2011 |",
        "|---|---|---|---|",
        "| nr3d_resnet50_ibn | the dataset itself | 89.62 (50.00) "
        "| 37.50 ± 1.25 (37.50), 2 splits, split 0: 25.00 |",
        "| nr3d_resnet50_ibn | MARS first | – | 75.00 (75.00), 1 split |",
        "| nr3d_resnet50_ibn | MARS and iLIDS-VID first | 88.21 (50.00) | – |",
    ]
    assert capsys.readouterr().out.startswith(table)
    content = json.loads((tmp_path / "t.json").read_text())
    assert {row["protocol"] for row in content["rows"]} == {"torchreid"}
    by_folder = {row["folder"]: row for row in content["rows"]}
    assert by_folder[str(folders[3])]["split_0"] == {"rank-1": 0.25, "mAP": 0.25}
    assert by_folder[str(folders[1])]["mean"] == {"rank-1": 0.8962, "rank-5": 0.9, "mAP": 0.5}


def test_another_protocol_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_run(tmp_path / "run", "mars", ["mars"], ["imagenet"], 0.8)
    result = json.loads((folder / "result.json").read_text())
    result["results"]["mars"]["protocol"] = "mars-official"
    (folder / "result.json").write_text(json.dumps(result))
    assert main(["table", str(folder)]) == 0
    assert "80.00 (50.00), mars-official |" in capsys.readouterr().out


def test_a_gallery_without_distractors_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = write_run(tmp_path / "run", "mars", ["mars"], ["imagenet"], 0.8)
    splits = write_splits(tmp_path / "prid", [], [0.25, 0.5])
    for file in (run / "result.json", splits / "splits.json"):
        content = json.loads(file.read_text())
        content.get("results", {"mars": content})["mars"]["distractors_dropped"] = True
        file.write_text(json.dumps(content))
    assert main(["table", str(run), str(splits)]) == 0
    table = capsys.readouterr().out
    assert "80.00 (50.00), distractors dropped" in table
    assert "37.50 ± 1.25 (37.50), distractors dropped, 2 splits" in table


@pytest.mark.parametrize("content", [None, "{ half a fi"])
def test_a_folder_without_a_finished_run_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str | None
) -> None:
    if content is not None:
        (tmp_path / "result.json").write_text(content)
    assert main(["table", str(tmp_path)]) == 2
    assert f"nr3d: error: {tmp_path}" in capsys.readouterr().err


def without(content: dict[str, Any], *path: Any, value: Any = None) -> dict[str, Any]:
    """The content with another value at a place, or with none."""
    owner: Any = content
    for key in path[:-1]:
        owner = owner[key]
    owner[path[-1]] = value
    if value is None:
        del owner[path[-1]]
    return content


SHARE = "expected a share from 0 to 1"


@pytest.mark.parametrize(
    ("path", "value", "told"),
    [
        ((), [], "the file is []"),
        ((), {}, "it has no model"),
        ((), 5, "the file is 5"),
        (("model",), None, "it has no model"),
        (("model",), "a\x1b[31m", "expected a name"),
        (("trained_on",), "mars", "trained_on is 'mars', expected a list"),
        (("started_from",), [], "started_from is []"),
        (("started_from",), {}, "it has no trained_on"),
        (("results",), [], "results is []"),
        (("results",), {}, "results is empty"),
        (("results", "mars"), 0.5, "results of mars is 0.5"),
        (("results", "mars", "rank-1"), None, "results of mars has no rank-1"),
        (("results", "mars", "mAP"), 84.6, SHARE),
        (("results", "mars", "mAP"), float("nan"), SHARE),
        (("results", "mars", "rank-5"), "0.9", SHARE),
        (("results", "mars", "protocol"), "mine", "protocol is 'mine'"),
        (("config",), [], "config is []"),
        (("config",), {"data": {}}, "it has no model"),
    ],
)
def test_a_result_that_no_run_wrote_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], path: Any, value: Any, told: str
) -> None:
    folder = write_run(tmp_path / "run", "mars", ["mars"], ["imagenet"], 0.8)
    content = json.loads((folder / "result.json").read_text())
    content = without(content, *path, value=value) if path else value
    (folder / "result.json").write_text(json.dumps(content))
    assert main(["table", str(folder)]) == 2
    error = capsys.readouterr().err
    assert error.startswith(
        f"nr3d: error: {folder / 'result.json'} cannot be read as the result of"
    )
    assert told in error and "Delete it and train again" in error


@pytest.mark.parametrize(
    ("path", "value", "told"),
    [
        ((), [], "the file is []"),
        (("dataset",), ["prid2011"], "expected a name"),
        (("splits",), {}, "splits is {}, expected a list"),
        (("splits",), [], "splits are []"),
        (("splits", 1, "split"), 0, "expected each once"),
        (("splits", 1, "split"), "1", "expected numbers from 0"),
        (("splits", 1, "mAP"), None, "a split has no mAP"),
        (("splits", 1, "mAP"), 0.25, "mean mAP is 0.375, and that of its splits is another"),
        (("mean",), None, "it has no mean"),
        (("mean", "rank-1"), -1, SHARE),
        (("mean", "rank-5"), 0.5, "it has no rank-5"),
        (("std",), None, "it has no std"),
        (("std", "mAP"), "0", SHARE),
        (("std", "rank-1"), None, "it has no rank-1"),
        (("std",), {"rank-1": None, "mAP": 0.1}, SHARE),
    ],
)
def test_a_result_over_splits_that_no_run_wrote_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], path: Any, value: Any, told: str
) -> None:
    folder = write_splits(tmp_path / "prid", [], [0.25, 0.5])
    content = json.loads((folder / "splits.json").read_text())
    content = without(content, *path, value=value) if path else value
    (folder / "splits.json").write_text(json.dumps(content))
    assert main(["table", str(folder)]) == 2
    error = capsys.readouterr().err
    assert error.startswith(
        f"nr3d: error: {folder / 'splits.json'} cannot be read as the result of"
    )
    assert told in error


@pytest.mark.parametrize("content", [b"\xff\xfe", b"\0" * 100, b"[" * 100_000, b"1" * 5000])
def test_bytes_that_are_no_result_are_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes
) -> None:
    for name in ("result.json", "splits.json"):
        (tmp_path / name).write_bytes(content)
    assert main(["table", str(tmp_path)]) == 2
    assert "splits.json cannot be read as" in capsys.readouterr().err
    (tmp_path / "splits.json").unlink()
    assert main(["table", str(tmp_path)]) == 2
    assert "result.json cannot be read as" in capsys.readouterr().err
    (tmp_path / "result.json").unlink()
    (tmp_path / "result.json").mkdir()
    assert main(["table", str(tmp_path)]) == 2
    assert "result.json cannot be read as" in capsys.readouterr().err


def test_it_needs_neither_torch_nor_torchreid() -> None:
    program = (
        "import sys\n"
        "import nr3d.runs.table\n"
        "heavy = {'torch', 'torchreid', 'scipy', 'tensorboard', 'cv2', 'numpy', 'h5py'}\n"
        "print(sorted(heavy & sys.modules.keys()))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n", done.stdout
