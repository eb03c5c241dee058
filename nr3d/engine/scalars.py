"""A run's curves for TensorBoard."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import time
from pathlib import Path
from typing import Any, BinaryIO

from nr3d.errors import OutputError, writing

logger = logging.getLogger(__name__)

_OFTEN = 30.0
"""Shortest time between two flushes, in seconds."""


class ScalarLog:
    """Writer of scalars into a TensorBoard file, which is created with the first of them.

    A full disk costs the curves and one warning, not the run. TensorBoard's own writer would die in
    its thread, with a traceback.

    Args:
        folder: folder of the file.
        purge_step: first step from which an earlier run's curves are hidden; None hides nothing.
    """

    def __init__(self, folder: str | Path, purge_step: int | None = None) -> None:
        self.folder = Path(folder)
        self.purge_step = purge_step
        self._file: BinaryIO | None = None
        self._records: Any = None
        self._flushed = 0.0
        self._failed = False

    def add_scalar(self, name: str, value: float, step: int) -> None:
        """Write one number.

        Args:
            name: name of the curve.
            value: number to write.
            step: place on the curve.
        """
        from torch.utils.tensorboard.summary import scalar

        summary = scalar(name, value)  # type: ignore[no-untyped-call]
        self._write(step=int(step), summary=summary)

    def close(self) -> None:
        """Flush and close the file."""
        if self._file is not None:
            try:
                with writing(self.folder):
                    self._file.close()
            except OutputError as error:
                self._give_up(error)
            self._file = None

    def _write(self, **fields: Any) -> None:
        if self._failed:
            return
        try:
            with writing(self.folder):
                if self._file is None:
                    self._open()
                self._add(**fields)
                if time.monotonic() - self._flushed > _OFTEN and self._file is not None:
                    self._file.flush()
                    self._flushed = time.monotonic()
        except OutputError as error:
            self._give_up(error)

    def _open(self) -> None:
        from tensorboard.summary.writer.record_writer import RecordWriter

        self.folder.mkdir(parents=True, exist_ok=True)
        name = f"events.out.tfevents.{time.time():010.0f}.{socket.gethostname()}.{os.getpid()}.0"
        self._file = (self.folder / name).open("ab")
        self._records = RecordWriter(self._file)
        self._add(file_version="brain.Event:2")
        if self.purge_step is not None:
            from tensorboard.compat.proto.event_pb2 import SessionLog

            started = SessionLog(status=SessionLog.START)
            self._add(step=self.purge_step, session_log=started)

    def _add(self, **fields: Any) -> None:
        from tensorboard.compat.proto.event_pb2 import Event

        self._records.write(Event(wall_time=time.time(), **fields).SerializeToString())

    def _give_up(self, error: OutputError) -> None:
        """Warn once that nothing more is written, and close the file."""
        self._failed = True
        if self._file is not None:
            with contextlib.suppress(OSError):
                self._file.close()
            self._file = None
        logger.warning(
            "The curves for TensorBoard in %s cannot be written (%s): the run goes on without them",
            self.folder,
            error.reason,
        )
