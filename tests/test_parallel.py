"""What the processes of a run exchange, in two real processes and in one."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from nr3d import parallel
from nr3d.errors import DataError, Nr3dError
from nr3d.parallel import World
from tests.exchanging import loss_of

VARIABLES = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What two processes saw, which are started as torchrun starts them."""
    out = tmp_path_factory.mktemp("two") / "seen"
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    # An agent of torchrun would stop the first process when the second one ends.
    started = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.exchanging", str(out)],
            cwd=Path(__file__).resolve().parents[1],
            env=os.environ
            | {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2"}
            | {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "OMP_NUM_THREADS": "1"},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in (0, 1)
    ]
    try:
        errors = [process.communicate(timeout=120)[1] for process in started]
    finally:
        for process in started:
            process.kill()
    assert [process.returncode for process in started] == [0, 0], errors
    seen: dict[str, Any] = torch.load(out, weights_only=False)
    return seen


def of_both(two: dict[str, Any], name: str) -> tuple[Any, Any]:
    first, second = two["both"]
    return first[name], second[name]


def test_each_process_knows_its_place(two: dict[str, Any]) -> None:
    assert of_both(two, "place") == of_both(two, "world") == (World(0, 2), World(1, 2))
    assert of_both(two, "joined again") == (World(0, 2), World(1, 2))
    assert [place.first for place in of_both(two, "place")] == [True, False]


def test_gathering_concatenates_in_the_order_of_ranks(two: dict[str, Any]) -> None:
    whole = torch.cat(of_both(two, "x"))
    assert whole.shape == (4, 3)
    for gathered in of_both(two, "whole"):
        torch.testing.assert_close(gathered, whole, rtol=0, atol=0)


def test_averaged_gradients_are_those_of_one_process_with_the_whole_batch(
    two: dict[str, Any],
) -> None:
    whole = torch.cat(of_both(two, "x")).requires_grad_()
    loss_of(whole).backward()
    assert whole.grad is not None
    averaged = torch.cat(of_both(two, "gradient")) / 2  # as DistributedDataParallel averages
    torch.testing.assert_close(averaged, whole.grad)


def test_the_gradients_of_different_losses_are_summed(two: dict[str, Any]) -> None:
    factors = torch.arange(12.0).reshape(4, 3)
    summed = torch.cat(of_both(two, "gradient of each"))
    torch.testing.assert_close(summed, 11 * factors)


def test_tensors_and_numbers_are_reduced(two: dict[str, Any]) -> None:
    assert of_both(two, "in place") == (True, True)
    for summed in of_both(two, "summed"):
        assert summed.tolist() == [3.0, 6.0]
    assert of_both(two, "greatest") == (7, 7)


def test_values_of_the_first_and_of_all(two: dict[str, Any]) -> None:
    for copied in of_both(two, "copied"):
        assert [tensor.tolist() for tensor in copied] == [[1.5, 1.5], [0]]
        assert [tensor.dtype for tensor in copied] == [torch.float32, torch.int64]
    assert of_both(two, "of first") == ({"from": 0, "name": "é"},) * 2
    assert of_both(two, "of all") == ([("rank", 0, None), ("rank", 1, None)],) * 2


def test_a_process_that_is_lost_is_named_with_what_to_do(two: dict[str, Any]) -> None:
    message = two["lost"]
    assert message.startswith("Process 0 of 2 cannot reach another process of the run, which has")
    assert "The message of that process says why." in message
    assert message.endswith("continue from the run's last checkpoint with model.resume.")
    assert "\n" not in message


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for variable in VARIABLES:
        monkeypatch.delenv(variable, raising=False)
    return monkeypatch


def place(patch: pytest.MonkeyPatch, rank: int, size: int) -> None:
    values = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": size, "MASTER_ADDR": "localhost"}
    for name, value in values.items():
        patch.setenv(name, str(value))


def test_one_process_exchanges_with_itself(alone: pytest.MonkeyPatch) -> None:
    with parallel.joined(use_gpu=True) as joined:
        assert joined == parallel.world() == parallel.launched() == World(0, 1)
        assert joined.first
        x = torch.ones(2, 3)
        assert parallel.gather(x) is x
        assert parallel.add_up(x) is x
        parallel.copy_from_first([x])
        assert torch.equal(x, torch.ones(2, 3))
        assert parallel.greatest(-3) == -3
        value = object()
        assert parallel.of_first(value) is value
        assert parallel.of_all(value) == [value]


def test_the_environment_names_the_place_before_it_is_joined(alone: pytest.MonkeyPatch) -> None:
    place(alone, 2, 4)
    assert parallel.launched() == World(2, 4)
    assert parallel.world() == World(0, 1)
    for variable in ("RANK", "WORLD_SIZE", "MASTER_ADDR"):
        with alone.context() as patch:
            patch.delenv(variable)
            assert parallel.launched() == World(0, 1)


def test_more_processes_than_gpus_are_refused(alone: pytest.MonkeyPatch) -> None:
    place(alone, 3, 4)
    alone.setattr(torch.cuda, "is_available", lambda: True)
    alone.setattr(torch.cuda, "device_count", lambda: 2)
    message = (
        r"^Process 3 would take GPU 3 and this machine has 2: give torchrun --nproc-per-node 2\.$"
    )
    with pytest.raises(Nr3dError, match=message), parallel.joined(use_gpu=True):
        pass


@pytest.mark.parametrize(
    ("error", "raised"),
    [
        (RuntimeError("Connection reset by peer\n  at gloo"), Nr3dError),
        (RuntimeError("shapes (2, 3) and (4,) do not fit"), RuntimeError),
        (DataError("a frame of the store is bad"), DataError),
    ],
)
def test_only_errors_of_the_connection_are_reported_as_a_lost_process(
    error: Exception, raised: type[Exception], alone: pytest.MonkeyPatch
) -> None:
    def fail(backend: str) -> None:
        assert backend == "gloo"
        raise error

    place(alone, 1, 2)
    alone.setattr("torch.distributed.init_process_group", fail)
    with pytest.raises(raised) as caught, parallel.joined(use_gpu=False):
        pass
    assert type(caught.value) is raised
    if raised is Nr3dError:
        assert "ended or lost its network (Connection reset by peer). " in str(caught.value)
    else:
        assert caught.value is error


def test_the_module_alone_does_not_import_torch() -> None:
    code = (
        "import sys; from nr3d.parallel import launched; launched(); print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("False\n", "")
