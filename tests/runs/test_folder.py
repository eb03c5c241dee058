"""A run's folder: one writer, and never another run's files."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from nr3d.cli import main
from nr3d.engine import append_record
from nr3d.files.atomic import sole_writer
from nr3d.runs.folder import files_of_run, sole_run


@contextlib.contextmanager
def another_run(folder: Path) -> Iterator[int]:
    """A process that holds a run's folder; gives its number."""
    with another(sole_run(folder)) as number:
        yield number


@contextlib.contextmanager
def another_writer(path: Path) -> Iterator[int]:
    """A process that writes a file or folder; gives its number."""
    with another(sole_writer(path)) as number:
        yield number


@contextlib.contextmanager
def another(holding: contextlib.AbstractContextManager[None]) -> Iterator[int]:
    ready, done = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        with holding:
            os.write(ready[1], b"!")
            os.read(done[0], 1)
        os._exit(0)
    os.read(ready[0], 1)
    try:
        yield child
    finally:
        os.write(done[1], b"!")
        assert os.waitpid(child, 0)[1] == 0


def words(root: Path, out: Path, *options: str) -> list[str]:
    return [
        *("train", "--config", "prid2011", "--root", str(root), "data.save_dir", str(out)),
        *("model.name", "nr3d_resnet18_ibn", "model.pretrained", "False", "data.workers", "0"),
        *options,
    ]


@pytest.mark.parametrize(
    ("held", "options"),
    [("", []), ("", ["--splits", "0"]), ("split0", ["--splits", "0"])],
)
def test_a_second_run_is_refused_at_once_and_told_who_is_there(
    prid_root: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    held: str,
    options: list[str],
) -> None:
    out = tmp_path / "out"
    with another_run(out / held) as number:
        assert main(words(prid_root, out, *options)) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith(
        f"nr3d: error: {out / held} is being written by another run (process {number} on "
        f"{socket.gethostname()}, since 20"
    )
    assert error.endswith("): wait until that has ended, or give this one another data.save_dir.")
    assert not out.exists() or list(out.iterdir()) == []


def test_it_is_held_once_within_a_process_and_leaves_nothing(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with sole_run(out):
        with sole_run(out):
            pass
        assert [path.name for path in out.iterdir()] == [".run.lock"]
    assert not out.exists()


def test_what_a_killed_run_was_writing_is_cleared_away(tmp_path: Path) -> None:
    for name in (".model-last.pth.tar.812.partial", ".model-best.pth.tar.812.0a1b2c3d.partial"):
        (tmp_path / name).touch()
    (tmp_path / ".notes.812.partial").touch()
    with sole_run(tmp_path):
        pass
    assert [path.name for path in tmp_path.iterdir()] == [".notes.812.partial"]


@pytest.mark.parametrize(
    ("name", "way"),
    [
        (
            "model-last.pth.tar",
            "holds an earlier run: resume it with model.resume {out}/model-la",
        ),
        ("model-best.pth.tar", "start from its weights with model.load_weights {out}/model-best"),
        ("result.json", "(result.json): give this one another data.save_dir, or delete the fo"),
        ("splits.json", "(splits.json): give this one another data.save_dir, or delete the fo"),
        ("events.out.tfevents.17.host.1.0", "(events.out.tfevents.17.host.1.0): give this one"),
        ("metrics.jsonl", "(metrics.jsonl): give this one another data.save_dir, or delete"),
    ],
)
def test_any_file_of_a_run_keeps_another_from_its_folder(
    prid_root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, way: str
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / name).write_text(json.dumps({"kind": "epoch", "epoch": 1}) + "\n")
    before = (out / name).read_bytes()
    assert main(words(prid_root, out)) == 2
    assert way.format(out=out) in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in out.iterdir()} == {name: before}


def test_a_run_over_splits_does_not_go_into_another_runs_folder(
    prid_root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "model-best.pth.tar").touch()
    assert main(words(prid_root, tmp_path, "--splits", "all")) == 2
    assert "holds a run that is not over splits (model-best.pth.tar)" in capsys.readouterr().err


def test_records_of_tests_do_not_make_a_run(tmp_path: Path) -> None:
    append_record(tmp_path, {"kind": "test", "epoch": None, "mAP": 0.5})
    assert files_of_run(tmp_path) == []


def test_other_writers_of_files_and_folders_are_refused_too(
    prid_root: Path, mars_root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The kind: whatever two processes would write together."""
    (prid_root / "prid2011" / "splits_prid2011.json").unlink()
    out = tmp_path / "out"
    cases = {
        prid_root / "prid2011" / "splits_prid2011.json": [
            *("data", "splits", "prid2011", "--root", str(prid_root), "--min-frames", "5"),
        ],
        out / "mars": ["synthesize", "--out", str(out), "--identities", "4"],
        out / "seed0": ["demo", "--out", str(out)],
    }
    for path, command in cases.items():
        with another_writer(path) as number:
            assert main(command) == 2
        error = capsys.readouterr().err
        assert error.startswith(f"nr3d: error: {path} is being written by process {number} on ")
        assert error.endswith(": wait until that has ended, or write elsewhere.\n")
        assert not path.exists()


def test_a_full_disk_names_the_dataset_that_is_drawn(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    left = tmp_path / ".mars-partial-killed"
    left.mkdir()
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (500, before[1]))
    try:
        code = main(["synthesize", "--out", str(tmp_path), "--identities", "4"])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert code == 2
    assert f"{tmp_path}/mars cannot be written (File too large): " in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_leaves_a_run_its_last_checkpoint(
    mars_root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "log"
    options = ["train", "--config", "synthetic", "--root", str(mars_root), "data.height", "32"]
    options += ["data.width", "16", "train.batch_size", "8", "sampler.num_instances", "2"]
    options += ["video.seq_len", "2", "data.workers", "0", "model.aggregation", "mean"]
    options += ["data.save_dir", str(out), "train.max_epoch"]
    assert main([*options, "1"]) == 0
    last = out / "model-last.pth.tar"
    held = last.read_bytes()
    capsys.readouterr()
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, before[1]))
    try:
        code = main([*options, "2", "model.resume", str(last)])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert code == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert " cannot be written (File too large): raise the limit on the size of files" in error
    assert error.endswith(f"The last checkpoint is whole: resume with model.resume {last}")
    assert last.read_bytes() == held
    assert not [path for path in out.iterdir() if path.name.startswith(".")]
