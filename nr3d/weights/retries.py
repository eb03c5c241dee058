"""Which requests are sent again, how often and when: urllib3's retries with a patience."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any

from urllib3.exceptions import MaxRetryError, ResponseError
from urllib3.util import Retry

from nr3d.weights.answers import BUSY, retry_after
from nr3d.weights.failures import failure_of
from nr3d.weights.patience import PATIENCE, Patience, SourceError

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self
    from urllib3 import BaseHTTPResponse
    from urllib3.connectionpool import ConnectionPool


class Retries(Retry):
    """Retries of GET requests within a patience.

    Connections that fail and servers that are busy are tried again; a failure that would only
    repeat itself, such as a certificate that is not trusted, is not. A ``Retry-After`` that cannot
    be read counts as none. Redirects are not followed.

    Args:
        patience: limits on attempts and waits.
        ends: time by ``time.monotonic`` at which no further attempt begins.
        options: arguments of :class:`urllib3.util.Retry`; what they leave out follows from
            ``patience``.
    """

    # Every such status is in the list of those that are tried again, with or without the header.
    RETRY_AFTER_STATUS_CODES = frozenset()

    def __init__(
        self, patience: Patience = PATIENCE, ends: float = float("inf"), **options: Any
    ) -> None:
        of_patience: dict[str, Any] = {
            "total": patience.attempts - 1,
            "connect": patience.unreachable - 1,
            "other": patience.unreachable - 1,  # proxies that refuse
            "redirect": 0,
            "allowed_methods": frozenset({"GET"}),
            "status_forcelist": frozenset(BUSY),
            "raise_on_status": False,
        }
        super().__init__(**of_patience | options)
        self.patience, self.ends = patience, ends

    def new(self, **options: Any) -> Self:
        """Return a copy with other counts."""
        return super().new(patience=self.patience, ends=self.ends, **options)

    def increment(
        self,
        method: str | None = None,
        url: str | None = None,
        response: BaseHTTPResponse | None = None,
        error: Exception | None = None,
        _pool: ConnectionPool | None = None,
        _stacktrace: TracebackType | None = None,
    ) -> Self:
        """Return what is left after a failure.

        Raises:
            SourceError: if the failure would only repeat itself.
            MaxRetryError: if nothing is left, or the next attempt would begin too late.
        """
        if error is not None:
            failure = failure_of(error, url or "/")
            if isinstance(failure, SourceError):
                raise failure from error
        left = super().increment(method, url, response, error, _pool, _stacktrace)
        if not left.is_in_time(response):
            reason = error or ResponseError(ResponseError.GENERIC_ERROR)
            raise MaxRetryError(_pool, url or "", reason)  # type: ignore[arg-type]
        if response is not None:
            response.close()  # urllib3 would read its body to the end, whatever its size
        return left

    def is_in_time(self, response: BaseHTTPResponse | None = None) -> bool:
        """Return whether the wait for the next attempt ends before the patience does."""
        return time.monotonic() + self._pause(response) < self.ends

    def get_backoff_time(self) -> float:
        """Return the wait before the next attempt that no server asks for, in seconds."""
        return self.patience.backoff * float(2 ** max(len(self.history) - 1, 0))

    def sleep(self, response: BaseHTTPResponse | None = None) -> None:
        """Wait before the next attempt: as long as the server asks for, or by the backoff."""
        time.sleep(self._pause(response))

    def _pause(self, response: BaseHTTPResponse | None) -> float:
        asked = None if response is None else retry_after(response)
        return min(self.get_backoff_time() if asked is None else asked, self.patience.longest)


def _is_not_ours(record: logging.LogRecord) -> bool:
    """Leave out urllib3's warnings of retries: what failed in the end is said by its reason."""
    return not (isinstance(record.args, tuple) and any(isinstance(a, Retries) for a in record.args))


logging.getLogger("urllib3.connectionpool").addFilter(_is_not_ours)
