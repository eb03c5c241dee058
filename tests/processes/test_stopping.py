"""Requests to stop: refused, waiting for a safe point, and at once."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from nr3d.processes.stopping import (
    Interrupted,
    at_once,
    at_safe_points,
    request,
    requested,
    withdraw,
)


@pytest.fixture(autouse=True)
def nothing_requested() -> Iterator[None]:
    withdraw()
    yield
    withdraw()


def test_work_without_safe_points_has_to_be_stopped_by_others() -> None:
    assert request(signal.SIGTERM) is False
    assert requested() == 0


def test_a_request_waits_for_the_work_to_ask() -> None:
    with at_safe_points():
        assert requested() == 0
        assert request(signal.SIGTERM) is True
        assert requested() == requested() == signal.SIGTERM
        assert request() is True
        assert requested() == signal.SIGINT
        withdraw()
        assert requested() == 0
    assert request() is False


def test_a_request_that_the_block_did_not_ask_for_is_left_for_later() -> None:
    with at_safe_points():
        with at_safe_points():
            request(signal.SIGHUP)
        assert request(signal.SIGTERM) is True  # the outer block has safe points as well
    assert requested() == signal.SIGTERM


def test_within_at_once_requests_do_not_wait() -> None:
    with at_safe_points():
        with at_once():
            assert request(signal.SIGTERM) is False
        assert requested() == 0
        assert request(signal.SIGTERM) is True


def test_at_once_raises_a_request_that_is_waiting_and_clears_it() -> None:
    with at_safe_points():
        request(signal.SIGUSR1)
        entered = False
        with pytest.raises(Interrupted) as caught, at_once():
            entered = True
        assert not entered
        assert caught.value.number == signal.SIGUSR1
        assert requested() == 0
        assert request() is True  # safe points count again


def test_blocks_that_are_left_by_an_error_leave_nothing_behind() -> None:
    with pytest.raises(ZeroDivisionError), at_safe_points(), at_once():
        raise ZeroDivisionError
    assert request() is False


def test_an_interruption_says_how_far_the_work_had_come() -> None:
    last = Path("log") / "model-last.pth.tar"
    stopped = Interrupted(signal.SIGTERM, "after epoch 3", last)
    assert isinstance(stopped, KeyboardInterrupt)  # passes handlers of Exception
    assert str(stopped) == "stopped by SIGTERM after epoch 3"
    assert (stopped.number, stopped.where, stopped.checkpoint) == (15, "after epoch 3", last)
    bare = Interrupted(signal.SIGINT)
    assert str(bare) == "stopped by SIGINT"
    assert (bare.where, bare.checkpoint) == ("", None)
