"""Runs of two processes, started by torchrun, on the processor."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from nr3d.engine import LAST, read_records
from nr3d.weights import read_checkpoint

TWO = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
SCRIPT = str(Path(__file__).with_name("five_steps.py"))
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1"}


def five_steps(out: Path, root: Path, *options: str, processes: int = 2) -> dict[str, Any]:
    """Give what five steps in one or two processes came to."""
    launcher = TWO if processes == 2 else []
    # The network in float64: five steps blow float32's rounding up to the third digit.
    command = [sys.executable, *launcher, SCRIPT, str(root), str(out), "double=true", *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=ENVIRONMENT)
    assert done.returncode == 0, done.stdout + done.stderr
    result: dict[str, Any] = torch.load(out, weights_only=False)
    return result


@pytest.fixture(scope="module")
def alone(mars_root: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    out = tmp_path_factory.mktemp("alone") / "steps"
    return five_steps(out, mars_root, "watch=true", processes=1)


def test_two_processes_with_half_the_batch_each_are_one_with_the_whole(
    mars_root: Path, tmp_path: Path, alone: dict[str, Any]
) -> None:
    two = five_steps(tmp_path / "steps", mars_root, "sync_norms=true", "watch=true")
    assert len(two["losses"]) == 5
    for ours, theirs in zip(two["losses"], alone["losses"], strict=True):
        assert ours == pytest.approx(theirs, rel=1e-5, abs=1e-6)
    assert 0.5 <= two["losses"][0]["attention_largest"] < 1
    assert two["losses"][0]["attention_erased"] > 0
    assert alone["losses"][4]["loss"] != pytest.approx(alone["losses"][0]["loss"], rel=1e-2)
    for name, value in two["state_dict"].items():
        torch.testing.assert_close(value, alone["state_dict"][name], rtol=1e-4, atol=1e-5)
    # torchreid opens every parameter, and the neck's bias stays where it is all the same.
    assert not two["state_dict"]["bottleneck.bias"].any()
    assert torch.equal(*two["centers"])
    assert torch.equal(*two["weights"])
    torch.testing.assert_close(two["centers"][0], alone["centers"][0], rtol=1e-4, atol=1e-5)
    # The features of all tracklets, in their order, though each process made half of them.
    assert (two["pids"], two["clips"]) == (alone["pids"], alone["clips"])
    torch.testing.assert_close(two["features"], alone["features"], rtol=1e-4, atol=1e-4)


def test_without_gathering_each_process_has_the_losses_of_its_own_clips(
    mars_root: Path, tmp_path: Path, alone: dict[str, Any]
) -> None:
    apart = ("sync_norms=true", "gather_features=false", "watch=true")
    two = five_steps(tmp_path / "steps", mars_root, *apart)
    first, whole = two["losses"][0], alone["losses"][0]
    # Means over the clips are the same; the ranked list loss sees fewer pairs.
    attention = [name for name in whole if name.startswith("attention_")]
    assert len(attention) == 4
    for name in ("loss_id", "loss_center", "loss_erasing_attention", "acc", *attention):
        assert first[name] == pytest.approx(whole[name], rel=1e-5, abs=1e-6)
    assert first["loss_ranked_list"] != pytest.approx(whole["loss_ranked_list"], rel=1e-3)
    assert torch.equal(*two["centers"])
    assert torch.equal(*two["weights"])


def test_two_processes_learn_by_a_loss_that_leaves_the_classifier_out(
    mars_root: Path, tmp_path: Path
) -> None:
    """torchreid's triplet loss without its cross entropy: no gradient reaches the classifier."""
    triplet = ("sync_norms=true", 'loss="triplet"')
    two = five_steps(tmp_path / "two", mars_root, *triplet)
    one = five_steps(tmp_path / "one", mars_root, *triplet, processes=1)
    assert list(two["losses"][0]) == ["loss", "loss_triplet", "acc"]
    for ours, theirs in zip(two["losses"], one["losses"], strict=True):
        assert ours == pytest.approx(theirs, rel=1e-4, abs=1e-5)
    assert one["losses"][4]["loss"] != pytest.approx(one["losses"][0]["loss"], rel=1e-2)


def command(root: Path, save_dir: Path, *changes: str) -> list[str]:
    """The README's command for two processes, on a small scale."""
    small: dict[str, Any] = {
        "data.save_dir": save_dir,
        "data.height": 32,
        "data.width": 16,
        "data.workers": 1,
        "sampler.num_instances": 2,
        "train.batch_size": 16,
        "train.max_epoch": 2,
        "train.stepsize": "[1]",
        "video.seq_len": 2,
    }
    words = [str(word) for pair in small.items() for word in pair]
    return [
        *(sys.executable, *TWO, "-m", "nr3d", "train", "--config", "synthetic"),
        *("--root", str(root), *words, *changes),
    ]


def test_the_command_trains_in_two_processes_and_one_reports(
    own_mars_root: Path, tmp_path: Path
) -> None:
    out, result = tmp_path / "run", tmp_path / "result.json"
    # The second query, which the second process extracts.
    damaged = own_mars_root / "mars" / "bbox_test" / "0002" / "0002C2T0001F003.jpg"
    damaged.write_bytes(damaged.read_bytes()[:50])
    skipping = ("train.batch_size", "8", "data.bad_frames", "skip")
    done = subprocess.run(
        [*command(own_mars_root, out, *skipping), "--json", str(result)],
        capture_output=True,
        text=True,
        timeout=300,
        env=ENVIRONMENT,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("** Results **") == 1
    assert done.stdout.count("epoch 1/2 ") == 1
    records = read_records(out)
    assert [r["kind"] for r in records] == ["epoch", "epoch", "test"]
    assert [r["bad_frames"] for r in records] == [0, 0, 1]
    found = json.loads(result.read_text())
    assert found["results"]["mars"]["gallery"] == 4
    assert found["bad_frames"] == [str(damaged)]
    assert "1 unreadable frames were left out" in done.stdout
    assert read_checkpoint(out / "model-last.pth.tar")["epoch"] == 2
    assert len(list(out.glob("events.*"))) == 1


@pytest.mark.skipif(sys.platform != "linux", reason="reads the names of threads under /proc")
def test_no_thread_of_the_process_group_outlives_a_training(
    mars_root: Path, tmp_path: Path
) -> None:
    script = tmp_path / "train.py"
    script.write_text(
        "import sys\n"
        "from pathlib import Path\n"
        "from nr3d.cli import main\n"
        "code = main(sys.argv[1:])\n"
        "names = [path.read_text() for path in Path('/proc/self/task').glob('*/comm')]\n"
        "sys.exit(code or [name for name in names if 'gloo' in name] or 0)\n"
    )
    words = command(mars_root, tmp_path / "run", "train.batch_size", "8")
    at = words.index("nr3d")
    done = subprocess.run(
        [*words[: at - 1], str(script), *words[at + 1 :]],  # in place of -m nr3d
        capture_output=True,
        text=True,
        timeout=300,
        env=ENVIRONMENT,
    )
    assert done.returncode == 0, done.stderr


def test_a_batch_that_cannot_be_shared_is_refused(mars_root: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        command(mars_root, tmp_path / "run", "train.batch_size", "6"),
        capture_output=True,
        text=True,
        timeout=300,
        env=ENVIRONMENT,
    )
    assert done.returncode != 0
    assert (
        "nr3d: error: train.batch_size is 6, expected a multiple of sampler.num_instances (2) "
        "times the run's 2 processes" in done.stderr
    )


@contextlib.contextmanager
def training(root: Path, out: Path) -> Iterator[subprocess.Popen[str]]:
    """Have two processes train until the block ends, which begins at their first checkpoint."""
    run = subprocess.Popen(
        command(root, out, "train.max_epoch", "500"),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env=ENVIRONMENT,
    )
    try:
        limit = time.monotonic() + 120
        while not (out / LAST).is_file():
            assert run.poll() is None and time.monotonic() < limit
            time.sleep(0.2)
        yield run
    finally:
        run.kill()


def test_a_process_that_dies_ends_the_run_with_a_message(mars_root: Path, tmp_path: Path) -> None:
    last = tmp_path / "run" / LAST
    with training(mars_root, last.parent) as run:
        ranks = children_of(run.pid)
        assert len(ranks) == 2
        os.kill(ranks[1], signal.SIGKILL)
        errors = run.communicate(timeout=60)[1]
    assert run.returncode != 0
    assert "Signal 9 (SIGKILL)" in errors or "cannot reach another process of the run" in errors
    assert "exitcode" in errors  # torchrun's summary names the process that failed first
    assert read_checkpoint(last)["epoch"] >= 1


def test_a_signal_to_the_launcher_stops_all_processes_at_the_same_step(
    mars_root: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    with training(mars_root, out) as run:
        ranks = children_of(run.pid)
        loaders = [pid for rank in ranks for pid in children_of(rank)]
        run.terminate()
        errors = run.communicate(timeout=60)[1]
    assert errors.count("nr3d: ended by SIGTERM after ") == 1, errors
    assert "; continue with: torchrun --nproc-per-node 2 -m nr3d train " in errors
    assert "cannot reach another process" not in errors
    assert read_checkpoint(out / LAST)["epoch"] >= 1
    assert sorted(path.name for path in out.iterdir() if path.name.startswith(".")) == []
    limit = time.monotonic() + 10
    while any(Path(f"/proc/{pid}").exists() for pid in (*ranks, *loaders)):
        assert time.monotonic() < limit
        time.sleep(0.1)


def children_of(parent: int) -> list[int]:
    """The processes that one started, in that order."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                fields = (folder / "stat").read_text().rsplit(")", 1)[1].split()
            except OSError:
                continue
            if int(fields[1]) == parent:
                found.append(int(folder.name))
    return sorted(found)
