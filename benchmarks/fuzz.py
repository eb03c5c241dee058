"""Feed damaged and hostile inputs to nr3d and count the outcomes.

    python benchmarks/fuzz.py --machine "2 cores of an AMD EPYC" --out benchmarks/results/fuzz

An input depends only on its target, its number and the seed: ``--only TARGET --first N --inputs 1``
repeats it. Each input must lead to the right result or be refused with one readable line. Any other
input is printed with its number, and the exit status is then 1.
"""

from __future__ import annotations

import faulthandler
import logging
import multiprocessing
import os
import resource
import sys
import tempfile
import time
import traceback
import warnings
import zlib
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from types import ModuleType

import fuzzing
import numpy as np
import torch
from reporting import parser_of, write

DEATHS = 50
"""Number of wrong inputs after which a target is abandoned."""


@dataclass
class Tally:
    """Outcomes of a target's inputs.

    Args:
        outcomes: number of inputs by outcome.
        wrong: descriptions of the wrong outcomes, by the number of the input.
        seconds: total time of all inputs, in seconds.
        slowest: time of the slowest input, in seconds.
        mebibytes: greatest growth of a process's memory, in MiB.
    """

    outcomes: Counter[str] = field(default_factory=Counter)
    wrong: dict[int, str] = field(default_factory=dict)
    seconds: float = 0.0
    slowest: float = 0.0
    mebibytes: float = 0.0


def run(name: str, target: ModuleType, seed: int, first: int, inputs: int) -> Tally:
    """Feed the inputs of a target to child processes, one after the other."""
    seconds, mebibytes = getattr(target, "SECONDS", 10.0), getattr(target, "MEBIBYTES", 512)
    tally, number, last = Tally(), first, first + inputs
    context = multiprocessing.get_context("fork")
    started = time.perf_counter()
    while number < last and len(tally.wrong) < DEATHS:
        ours, theirs = context.Pipe(duplex=False)
        process = context.Process(target=_child, args=(theirs, name, target, seed, number, last))
        process.start()
        theirs.close()
        ready = False
        try:
            ready = ours.poll(60) and ours.recv()  # the time of make() does not count
            while number < last:
                if not ours.poll(seconds):
                    tally.wrong[number] = f"took more than {seconds:g} s"
                    break
                outcome, what, took, grown = ours.recv()
                tally.slowest = max(tally.slowest, took)
                tally.mebibytes = max(tally.mebibytes, grown)
                if grown > mebibytes:
                    tally.wrong[number] = f"took {grown:.0f} MiB"
                    break  # a new process starts with little memory
                if outcome == "wrong":
                    tally.wrong[number] = what
                else:
                    tally.outcomes[outcome] += 1
                number += 1
        except EOFError:
            process.join()
            tally.wrong[number] = f"ended the process ({process.exitcode})"
            if not ready:
                break
        finally:
            process.kill()
            process.join()
        number += number in tally.wrong
    tally.seconds = time.perf_counter() - started
    return tally


def _run(name: str, *inputs: int) -> Tally:
    return run(name, fuzzing.targets()[name], *inputs)


def _child(
    pipe: Connection, name: str, target: ModuleType, seed: int, first: int, last: int
) -> None:
    """Make the inputs and send the outcome of each; runs in a process of its own."""
    torch.set_num_threads(1)
    logging.disable()
    faulthandler.disable()  # the parent reports the input
    warnings.simplefilter("ignore")
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 2)  # which C libraries write to
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        attempt = target.make(Path(folder))
        pipe.send(True)
        start = _peak()
        for number in range(first, last):
            rng = np.random.default_rng([seed, zlib.crc32(name.encode()), number])
            begun, what = time.perf_counter(), ""
            try:
                outcome = attempt(rng)
            except BaseException as error:  # noqa: BLE001 - the fuzzer looks for these
                outcome, what = "wrong", "".join(traceback.format_exception(error)[-4:])[-1500:]
            pipe.send((outcome, what, time.perf_counter() - begun, _peak() - start))


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> int:
    parser = parser_of(__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--inputs", type=int, default=10_000, help="number of inputs per target")
    parser.add_argument("--first", type=int, default=0, help="number of the first input")
    parser.add_argument("--only", nargs="*", metavar="TARGET", help=", ".join(fuzzing.targets()))
    parser.add_argument(
        "--at-once",
        type=int,
        default=os.cpu_count() or 1,
        help="number of targets that run at once",
    )
    args = parser.parse_args()
    known = fuzzing.targets()
    names = args.only or list(known)
    rows, figures, wrong = [], {}, 0
    context = multiprocessing.get_context("fork")
    with ProcessPoolExecutor(args.at_once, context) as pool:
        runs = [pool.submit(_run, name, args.seed, args.first, args.inputs) for name in names]
    for name, one in zip(names, runs, strict=True):
        tally = one.result()
        for number, what in tally.wrong.items():
            sys.stdout.write(f"{name} {number}: {what}\n")
        wrong += len(tally.wrong)
        counts = [tally.outcomes[o] for o in ("right", "refused", "unchecked")] + [len(tally.wrong)]
        what = (known[name].__doc__ or "").splitlines()[0].rstrip(".")
        rows.append(
            f"| {name}: {what} | {' | '.join(f'{count:,}' for count in counts)} | "
            f"{tally.slowest:.2f} s | {tally.mebibytes:.0f} MiB | {tally.seconds:.0f} s |"
        )
        figures[name] = {
            **dict(tally.outcomes),
            "wrong": tally.wrong,
            "slowest_seconds": tally.slowest,
            "most_mebibytes": tally.mebibytes,
            "seconds": tally.seconds,
        }
    table = "\n".join(
        [
            f"{args.inputs:,} inputs per target, from number {args.first} on, seed {args.seed}.\n",
            "| target | right | refused | unchecked | wrong | slowest | memory | in all |",
            "|---|---|---|---|---|---|---|---|",
            *rows,
        ]
    )
    content = {"seed": args.seed, "first": args.first, "inputs": args.inputs, "targets": figures}
    write(args.out, args.machine, table, content)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
