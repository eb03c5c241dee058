"""Child processes: what they inherit of the handling of signals, and how they end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import nr3d
from nr3d.processes.children import SIGNALS, are_signals_handled, held_back, signals_handled
from tests.conftest import wait_for


def in_a_child(answer: Callable[[], bool]) -> bool:
    """Return what a forked process answers."""
    pid = os.fork()
    if pid == 0:
        status = 2
        try:
            status = int(answer())
        finally:
            os._exit(status)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert status in (0, 1)
    return bool(status)


def blocked() -> set[int]:
    return set(signal.pthread_sigmask(signal.SIG_BLOCK, ()))


def test_the_signals_are_those_that_ask_a_command_to_stop() -> None:
    names = ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1")
    assert {getattr(signal, name) for name in names} == SIGNALS


def test_handling_is_declared_for_a_block_and_its_children() -> None:
    assert not are_signals_handled()
    with signals_handled():
        with pytest.raises(ZeroDivisionError), signals_handled():
            raise ZeroDivisionError
        assert are_signals_handled()  # an inner block does not end it
        assert in_a_child(are_signals_handled)
    assert not are_signals_handled()
    assert not in_a_child(are_signals_handled)


def test_signals_are_held_back_while_processes_are_forked() -> None:
    before, came = blocked(), []
    handler = signal.signal(signal.SIGUSR1, lambda number, frame: came.append(number))
    try:
        with pytest.raises(ZeroDivisionError), held_back():
            assert blocked() == before | SIGNALS
            assert in_a_child(lambda: blocked() >= SIGNALS)
            signal.raise_signal(signal.SIGUSR1)  # in this thread, whose signals are held back
            assert came == []
            raise ZeroDivisionError
        assert blocked() == before
        assert came == [signal.SIGUSR1]  # held back, not lost
        assert not in_a_child(lambda: blocked() >= SIGNALS)
    finally:
        signal.signal(signal.SIGUSR1, handler)


WORKER = """
import os, sys, time, types

# The module without the rest of nr3d, which takes each process seconds to import.
package = types.ModuleType("nr3d")
package.__path__ = sys.argv[2:]
sys.modules["nr3d"] = package
from nr3d.processes.children import follow_parent


def work(ready):
    follow_parent()
    with open(ready + ".part", "w") as file:
        file.write(str(os.getpid()))
    os.rename(ready + ".part", ready)
    while True:
        time.sleep(0.05)


if __name__ == "__main__":
    import multiprocessing

    context = multiprocessing.get_context("forkserver")
    context.Process(target=work, args=(sys.argv[1],)).start()
    time.sleep(600)
"""


def test_a_child_of_a_fork_server_ends_with_the_process_that_it_works_for(tmp_path: Path) -> None:
    script, ready = tmp_path / "worker.py", tmp_path / "ready"
    script.write_text(WORKER)
    parent = subprocess.Popen([sys.executable, str(script), str(ready), *nr3d.__path__])
    worker = 0
    try:
        wait_for(ready.exists, 60)
        worker = int(ready.read_text())
        time.sleep(1.5)  # longer than the worker takes to miss its parent
        assert is_running(worker)
        parent.kill()
        parent.wait()
        wait_for(lambda: not is_running(worker), 10)
    finally:
        parent.kill()
        parent.wait()
        if worker and is_running(worker):
            os.kill(worker, signal.SIGKILL)


def is_running(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False
