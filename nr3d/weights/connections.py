"""Connections that end: each answer has a time-out, a least rate and a bound of bytes.

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
from urllib3.exceptions import MaxRetryError, ProtocolError

from nr3d.version import __version__
from nr3d.weights.failures import StoppedError, requesting
from nr3d.weights.patience import Patience, SourceError, TransientError
from nr3d.weights.retries import Retries

_STEP = 1 << 18
"""Most bytes that the headers, or the framing of one block of a body, may take."""


class Watch:
    """Time and bytes of a session's answers, held against a patience.

    Args:
        patience: limits on time and rate.
    """

    def __init__(self, patience: Patience) -> None:
        self.patience = patience
        self.ends = time.monotonic() + patience.total
        self.begin_head()

    def begin_head(self) -> None:
        """Begin with an answer's headers."""
        self._head_ends: float | None = time.monotonic() + self.patience.answer
        self._allowed = _STEP
        self._waited, self._came = 0.0, 0

    def begin_body(self) -> None:
        """Begin with an answer's body."""
        self._head_ends = None
        self.allow_block()

    def allow_block(self) -> None:
        """Allow the bytes of a further block."""
        self._allowed = _STEP

    def time_left(self) -> float:
        """Return the time that the next bytes may take, in seconds.

        Raises:
            StoppedError: if there is none left.
        """
        now, patience = time.monotonic(), self.patience
        if now >= self.ends:
            raise StoppedError(SourceError(f"took longer than {patience.total:g} s"))
        if self._head_ends is not None and now >= self._head_ends:
            raise StoppedError(TransientError(f"no whole answer within {patience.answer:g} s"))
        ends = self.ends if self._head_ends is None else min(self.ends, self._head_ends)
        return min(patience.read, ends - now)

    def count(self, received: int, waited: float) -> None:
        """Count bytes that arrived.

        Args:
            received: number of bytes.
            waited: time that they took, in seconds.

        Raises:
            StoppedError: if they are too many, or too few for the time.
        """
        patience = self.patience
        self._allowed -= received
        if self._allowed < 0:
            raise StoppedError(SourceError("its answer is not HTTP (headers without end)"))
        self._waited, self._came = self._waited + waited, self._came + received
        if self._waited >= patience.window:
            if self._came < patience.slowest * self._waited:
                reason = f"sends fewer than {patience.slowest:,.0f} bytes a second"
                raise StoppedError(TransientError(reason, slow=True))
            self._waited, self._came = 0.0, 0


class Session(requests.Session):
    """Session of requests whose answers are watched and whose failures are tried again.

    Redirects are left to the caller.

    Args:
        patience: limits on attempts, time and rate.
    """

    def __init__(self, patience: Patience) -> None:
        super().__init__()
        self.watch = Watch(patience)
        self._all_retries = Retries(patience, self.watch.ends)
        self._adapter = _Adapter(self.watch, self._all_retries)
        for scheme in ("http://", "https://"):
            self.mount(scheme, self._adapter)
        self.headers["User-Agent"] = f"nr3d/{__version__}"
        # Offsets count the bytes of the file, not those of a compressed transfer.
        self.headers["Accept-Encoding"] = "identity"

    def request_once_answered(self, url: str, headers: dict[str, str]) -> requests.Response:
        """Request an address until it is answered, for as long as there are retries.

        Args:
            url: address, http or https.
            headers: headers beside the session's own.

        Returns:
            requests.Response: the answer, whose body has not been read. It may be that of a server
            that is still busy.

        Raises:
            SourceError: if there is no answer.
        """
        patience = self.watch.patience
        with requesting(url):
            got = self.get(
                url,
                headers=headers,
                stream=True,
                allow_redirects=False,
                timeout=(patience.connect, patience.read),
            )
        self._adapter.max_retries = got.raw.retries  # without those that this request took
        return got

    def wait_after(self, error: TransientError, progress: bool) -> None:
        """Wait before another request, after the transfer that an answer began has failed.

        Args:
            error: failure of the transfer.
            progress: whether it brought the transfer forward, which renews the retries.

        Raises:
            SourceError: if no retries or no time are left.
        """
        try:
            if progress:
                left = self._all_retries
                if not left.is_in_time():
                    raise SourceError(str(error))
            else:
                left = self._adapter.max_retries.increment(
                    "GET", "/", error=ProtocolError(str(error))
                )
        except MaxRetryError:
            raise SourceError(str(error)) from error
        self._adapter.max_retries = left
        left.sleep()

    def get_redirect_target(self, resp: Any) -> None:
        """Return no target: requests would read the body of the redirect, whatever its size."""
        return None


class _Reader(io.RawIOBase):
    """Bytes that come out of a socket, watched."""

    def __init__(self, raw: io.RawIOBase, sock: socket.socket, watch: Watch) -> None:
        self._raw, self._sock, self._watch = raw, sock, watch

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        self._sock.settimeout(self._watch.time_left())
        started = time.monotonic()
        try:
            count: int | None = self._raw.readinto(buffer)
        except TimeoutError:
            self._watch.time_left()  # raises if it was not only this read that took too long
            raise
        self._watch.count(count or 0, time.monotonic() - started)
        return count

    def close(self) -> None:
        try:
            self._raw.close()
        finally:
            super().close()


class _Adapter(HTTPAdapter):
    max_retries: Retries

    def __init__(self, watch: Watch, retries: Retries) -> None:
        self._watch = watch
        super().__init__(max_retries=retries)

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        super().init_poolmanager(*args, **options)
        self._watch_answers(self.poolmanager)

    def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
        new = proxy not in self.proxy_manager
        manager = super().proxy_manager_for(proxy, **options)
        if new:
            self._watch_answers(manager)
        return manager

    def _watch_answers(self, manager: Any) -> None:
        """Let a manager's connections read through :class:`_Reader`."""
        watch = self._watch

        class Answer(http.client.HTTPResponse):
            def __init__(self, sock: Any, *args: Any, **options: Any) -> None:
                super().__init__(sock, *args, **options)
                watch.begin_head()
                raw: Any = self.fp
                self.fp = io.BufferedReader(_Reader(raw.detach(), sock, watch))

        pools = {}
        for scheme, pool in manager.pool_classes_by_scheme.items():
            connection = type("Connection", (pool.ConnectionCls,), {"response_class": Answer})
            pools[scheme] = type("Pool", (pool,), {"ConnectionCls": connection})
        manager.pool_classes_by_scheme = pools  # a copy: other sessions keep theirs
