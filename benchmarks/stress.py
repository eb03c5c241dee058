"""Run commands at the same time, interrupt them at random, and check what they leave behind.

    python benchmarks/stress.py --seconds 90 --at-once 4

Training, extraction, packing, tests, exports and drawing share a few folders, so that they also
conflict. Each command is left alone, gets a signal at a random moment, or loses the reader of its
output. Checkpoints must be whole at every moment, and no command may end with a traceback or with
an exit status that its end does not explain. Afterwards each command runs once undisturbed, after
which no lock, no temporary file and no process may be left. One process imports everything and
forks the commands.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import torch

import nr3d.cli
from nr3d.engine import BEST, LAST
from nr3d.weights import read_checkpoint

SMALL = [
    *("data.height", "32", "data.width", "16", "video.seq_len", "2", "data.workers", "1"),
    *("test.precision", "float32"),
]
TRAINING = [
    *("model.name", "nr3d_resnet18_ibn", "model.pretrained", "False", "train.batch_size", "4"),
    *("sampler.num_instances", "2", "model.aggregation", "mean", "train.precision", "float32"),
    *("train.checkpoint_steps", "2", "test.eval_freq", "1"),
]

ENDS = ("alone", "unread", "SIGKILL", "SIGTERM", "SIGTERM to all", "SIGUSR1", "SIGINT to all")
"""Ends of a command: it is left alone, its output is not read, or it gets a signal."""

ALONE = ("is being written by", "holds an earlier run", "is there already")
"""Messages of a command that conflicts with another one, or with the files of one."""


@dataclass
class Running:
    """A command that is running.

    Args:
        kind: name of the command.
        end: end of the command, one of ``ENDS``.
        pid: its process.
        errors: file of its standard error.
        due: time of its end, on the monotonic clock.
        sent: whether its signal was sent.
        reader: descriptor from which its output is read; None if nobody reads it.
    """

    kind: str
    end: str
    pid: int
    errors: Path
    due: float
    sent: bool = False
    reader: int | None = None


@dataclass
class Stress:
    """Commands that run at the same time in one folder.

    Args:
        folder: folder of everything that the commands read and write.
        seed: seed of the random order and moments.
        longest: greatest time from the start of a command to its end, in seconds.
    """

    folder: Path
    seed: int = 0
    longest: float = 6.0
    running: list[Running] = field(default_factory=list)
    ended: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    sessions: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.rng = random.Random(self.seed)
        self.data = self.folder / "data"
        self.start = self.folder / "start" / LAST
        self.commands: dict[str, Callable[[], list[str]]] = {
            "train one": lambda: self._train(self.folder / "one"),
            "train two": lambda: self._train(self.folder / "two"),
            "extract": lambda: self._of_weights("extract", "--out", self.folder / "f.h5"),
            "test": lambda: self._of_weights("test", "data.save_dir", self.folder / "one"),
            "pack": lambda: self._words(
                *("pack", "--dataset", "mars", "--root", self.data),
                *("--out", self.folder / "p.h5", "--replace"),
            ),
            "export": lambda: self._words(
                *("weights", "export", self.start, "--out", self.folder, "--replace"),
                *("--name", "nr3d_resnet18_ibn.stress"),
            ),
            "synthesize": lambda: self._words(
                *("synthesize", "--out", self.folder / "drawn", "--identities", 8)
            ),
        }

    def _words(self, *words: object) -> list[str]:
        return [str(word) for word in words]

    def _of_weights(self, command: str, *words: object) -> list[str]:
        named = self._words("--config", "synthetic", "--root", self.data, "--weights", self.start)
        return [command, *named, *SMALL, *self._words(*words)]

    def _train(self, folder: Path, epochs: int = 3) -> list[str]:
        """Return a command that trains, from the last checkpoint if there is one."""
        words = self._words("train", "--config", "synthetic", "--root", self.data, *SMALL)
        words += self._words(*TRAINING, "data.save_dir", folder, "train.max_epoch", epochs)
        if (folder / LAST).exists():
            return [*words, "model.resume", str(folder / LAST)]
        return words

    def prepare(self) -> None:
        """Draw the data and train the checkpoint that the other commands start from."""
        for words in (
            self._words("synthesize", "--out", self.data, "--identities", 8),
            self._train(self.start.parent, 1),
        ):
            if self.finish(self.begin(words, "alone")) != 0:
                raise SystemExit(f"{words[0]} failed: {self.wrong}")
        self.ended.clear()

    def begin(self, words: list[str], end: str, kind: str = "") -> Running:
        """Start a command in a session of its own."""
        errors = self.folder / f"{len(self.sessions)}.err"
        reader, output = os.pipe()
        # A signal that arrives before the command handles it must end it, as in a shell.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        pid = os.fork()
        if pid == 0:
            os.setsid()
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            os.close(reader)
            os.dup2(output, 1)
            os.dup2(os.open(errors, os.O_WRONLY | os.O_CREAT), 2)
            sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w", buffering=1)
            status = 70
            with contextlib.suppress(BaseException):
                torch.set_num_threads(1)
                status = _main(words)
            with contextlib.suppress(OSError):
                sys.stdout.flush()
            os._exit(status)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        os.close(output)
        self.sessions.add(pid)
        after = self.rng.uniform(0.0, self.longest)
        one = Running(kind or words[0], end, pid, errors, time.monotonic() + after)
        if end == "unread":
            os.close(reader)
        else:
            os.set_blocking(reader, False)
            one.reader = reader
        self.running.append(one)
        return one

    def step(self) -> None:
        """Let ends come that are due, and look after what has ended."""
        for one in list(self.running):
            self._drain(one)
            if one.end.startswith("SIG") and not one.sent and time.monotonic() > one.due:
                one.sent = True
                number = getattr(signal, one.end.split()[0])
                with contextlib.suppress(ProcessLookupError):
                    (os.killpg if one.end.endswith("to all") else os.kill)(one.pid, number)
            pid, status = os.waitpid(one.pid, os.WNOHANG)
            if pid:
                self._look_at(one, os.waitstatus_to_exitcode(status))

    def finish(self, one: Running, limit: float = 300) -> int:
        """Wait for a command and return its exit status."""
        until = time.monotonic() + limit
        while one in self.running:
            self.step()
            time.sleep(0.01)
            if time.monotonic() > until:
                os.killpg(one.pid, signal.SIGKILL)
                self.wrong.append(f"{one.kind} did not end ({one.end})")
        return self.status

    def _drain(self, one: Running) -> None:
        if one.reader is not None:
            with contextlib.suppress(BlockingIOError):
                while os.read(one.reader, 1 << 16):
                    pass

    def _look_at(self, one: Running, status: int) -> None:
        self.running.remove(one)
        if one.reader is not None:
            os.close(one.reader)
        message = one.errors.read_text(errors="replace")
        one.errors.unlink()
        self.status = status
        asked = getattr(signal, one.end.split()[0], None) if one.end.startswith("SIG") else None
        fitting = {0} if asked is None else {0, 128 + asked, -asked}
        refused = status == 2 and any(word in message for word in ALONE)
        if (status not in fitting and not refused) or "Traceback" in message:
            self.wrong.append(
                f"{one.kind} ({one.end}) ended with status {status}: {message[-2000:]}"
            )
        what = "refused" if refused else "done" if status == 0 else one.end
        self.ended[what] += 1
        for path in self.folder.rglob("model-*.pth.tar"):
            with contextlib.suppress(FileNotFoundError):
                read_checkpoint(path)

    def run(self, seconds: float, at_once: int, most: int = 1 << 30) -> None:
        """Run commands at the same time, for some seconds or until ``most`` have been started."""
        until, kinds = time.monotonic() + seconds, list(self.commands)
        while time.monotonic() < until and most > 0:
            if len(self.running) < at_once:
                kind = self.rng.choice(kinds)
                self._delete_finished_runs()
                self.begin(self.commands[kind](), self.rng.choice(ENDS), kind)
                most -= 1
            self.step()
            time.sleep(0.02)
        for one in list(self.running):
            self.finish(one)

    def _delete_finished_runs(self) -> None:
        """Delete runs that cannot be continued: those without a checkpoint and completed ones."""
        if any(one.kind.startswith(("train", "test", "synthesize")) for one in self.running):
            return
        for folder in (self.folder / "one", self.folder / "two"):
            if not (folder / LAST).exists() or (folder / "result.json").exists():
                shutil.rmtree(folder, ignore_errors=True)
        shutil.rmtree(self.folder / "drawn", ignore_errors=True)

    def in_peace(self) -> None:
        """Run each command once, undisturbed."""
        self._delete_finished_runs()
        for kind, words in self.commands.items():
            if self.finish(self.begin(words(), "alone", kind)) != 0:
                self.wrong.append(f"{kind} does not run undisturbed")
        for folder in ("one", "two"):
            for name in (LAST, BEST):
                read_checkpoint(self.folder / folder / name)

    def left(self) -> list[str]:
        """Return what the commands left behind: hidden files, temporary files and processes."""
        until = time.monotonic() + 10
        while (alive := list(_alive(self.sessions))) and time.monotonic() < until:
            time.sleep(0.1)
        files = [str(path) for path in self.folder.rglob(".*")]
        files += [str(path) for path in self.folder.rglob("*.partial*")]
        return [*sorted(set(files)), *(f"process {pid}" for pid in alive)]


def _main(words: list[str]) -> int:
    try:
        return nr3d.cli.main(words)
    except SystemExit as end:
        return int(end.code or 0)
    except BaseException:
        import traceback

        traceback.print_exc()
        raise


def _alive(sessions: set[int]) -> Iterator[int]:
    """Yield the processes of some sessions."""
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError):
                fields = (folder / "stat").read_text().rsplit(")", 1)[1].split()
                if int(fields[3]) in sessions and fields[0] != "Z":
                    yield int(folder.name)


def main() -> int:
    """Run the stress test, print a line of JSON, and return 1 if anything is wrong or left."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=90)
    parser.add_argument("--at-once", type=int, default=4)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        stress = Stress(Path(folder), args.seed)
        stress.prepare()
        stress.run(args.seconds, args.at_once)
        stress.in_peace()
        found = {"commands": stress.ended, "wrong": stress.wrong, "left": stress.left()}
    print(json.dumps({"seconds": args.seconds, "at_once": args.at_once, **found}))
    return 1 if found["wrong"] or found["left"] else 0


if __name__ == "__main__":
    sys.exit(main())
