"""Connections that end: each answer has a time, a least rate and a bound of bytes at once.

The time-outs of requests begin anew with every byte. Here the bytes are counted where they leave
the socket, which also covers headers, proxies and the framing of chunks.
"""

from __future__ import annotations

import http.client
import io
import socket
import time
from typing import Any

import requests
from requests.adapters import HTTPAdapter

from nr3d.version import __version__
from nr3d.weights.patience import AgainError, Patience, SourceError

_STEP = 1 << 18
"""Bytes that the headers, or the framing of one block of a body, may take at most."""


class Watch:
    """Time and bytes of a session's answers, held against a patience.

    Args:
        patience: what is granted.
    """

    def __init__(self, patience: Patience) -> None:
        self.patience = patience
        self.ends = time.monotonic() + patience.total
        self.stopped: SourceError | AgainError | None = None
        self.asked()

    def asked(self) -> None:
        """Begin with an answer's headers."""
        self.stopped = None
        self._head_ends: float | None = time.monotonic() + self.patience.answer
        self._allowed = _STEP
        self._waited, self._came = 0.0, 0

    def answered(self) -> None:
        """Begin with an answer's body."""
        self._head_ends = None
        self.allow()

    def allow(self) -> None:
        """Grant the bytes of a further block."""
        self._allowed = _STEP

    def wait(self) -> float:
        """Give the seconds that the next bytes may take."""
        now, patience = time.monotonic(), self.patience
        if now >= self.ends:
            raise self._stop(SourceError(f"took longer than {patience.total:g} s"))
        if self._head_ends is not None and now >= self._head_ends:
            raise self._stop(AgainError(f"no whole answer within {patience.answer:g} s"))
        ends = self.ends if self._head_ends is None else min(self.ends, self._head_ends)
        return min(patience.read, ends - now)

    def came(self, count: int, waited: float) -> None:
        """Take bytes that came, and the seconds in which they did."""
        patience = self.patience
        self._allowed -= count
        if self._allowed < 0:
            raise self._stop(SourceError("its answer is not HTTP (headers without end)"))
        self._waited, self._came = self._waited + waited, self._came + count
        if self._waited >= patience.window:
            if self._came < patience.slowest * self._waited:
                reason = f"sends fewer than {patience.slowest:,.0f} bytes a second"
                raise self._stop(AgainError(reason, slow=True))
            self._waited, self._came = 0.0, 0

    def _stop(self, reason: SourceError | AgainError) -> OSError:
        self.stopped = reason
        return OSError(str(reason))


class Session(requests.Session):
    """A session of requests whose answers are watched; it follows no redirect by itself.

    Args:
        patience: of its watch.
    """

    def __init__(self, patience: Patience) -> None:
        super().__init__()
        self.watch = Watch(patience)
        for scheme in ("http://", "https://"):
            self.mount(scheme, _Adapter(self.watch))
        self.headers["User-Agent"] = f"nr3d/{__version__}"
        # Offsets count the bytes of the file, not those of a compressed transfer.
        self.headers["Accept-Encoding"] = "identity"

    def get_redirect_target(self, resp: Any) -> None:
        """Give no target: requests would read the body of the redirect, whatever its size."""
        return None


class _Reader(io.RawIOBase):
    """What comes out of a socket, watched."""

    def __init__(self, raw: io.RawIOBase, sock: socket.socket, watch: Watch) -> None:
        self._raw, self._sock, self._watch = raw, sock, watch

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        self._sock.settimeout(self._watch.wait())
        started = time.monotonic()
        try:
            count: int | None = self._raw.readinto(buffer)
        except TimeoutError:
            self._watch.wait()  # says so if it was not only this read that took too long
            raise
        self._watch.came(count or 0, time.monotonic() - started)
        return count

    def close(self) -> None:
        try:
            self._raw.close()
        finally:
            super().close()


class _Adapter(HTTPAdapter):
    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        super().__init__()

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        super().init_poolmanager(*args, **options)
        self._watched(self.poolmanager)

    def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
        new = proxy not in self.proxy_manager
        manager = super().proxy_manager_for(proxy, **options)
        if new:
            self._watched(manager)
        return manager

    def _watched(self, manager: Any) -> None:
        """Let a manager's connections read through :class:`_Reader`."""
        watch = self._watch

        class Answer(http.client.HTTPResponse):
            def __init__(self, sock: Any, *args: Any, **options: Any) -> None:
                super().__init__(sock, *args, **options)
                raw: Any = self.fp
                self.fp = io.BufferedReader(_Reader(raw.detach(), sock, watch))

        pools = {}
        for scheme, pool in manager.pool_classes_by_scheme.items():
            connection = type("Connection", (pool.ConnectionCls,), {"response_class": Answer})
            pools[scheme] = type("Pool", (pool,), {"ConnectionCls": connection})
        manager.pool_classes_by_scheme = pools  # a copy: other sessions keep theirs
