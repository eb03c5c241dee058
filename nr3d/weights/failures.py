"""Failures of the network: recognised by the exception's type and named in a few words.

A failure that would only repeat itself is a :class:`SourceError`, any other one a
:class:`TransientError`.
"""

from __future__ import annotations

import http.client
import re
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from nr3d.errors import Nr3dError, printable, reason_of
from nr3d.weights.patience import SourceError, TransientError


class StoppedError(OSError):
    """A connection was given up by its watch.

    Args:
        failure: reason for the stop.
    """

    def __init__(self, failure: SourceError | TransientError) -> None:
        super().__init__(str(failure))
        self.failure = failure


@contextmanager
def requesting(url: str) -> Iterator[None]:
    """Turn what fails a request, after all of its retries, into a SourceError.

    Args:
        url: address that is requested.

    Raises:
        SourceError: for whatever the client library raises.
    """
    try:
        yield
    except (SourceError, Nr3dError):
        raise
    except Exception as error:
        raise SourceError(str(failure_of(error, url))) from error


@contextmanager
def reading() -> Iterator[None]:
    """Turn what fails the reading of an answer's body into one of our errors.

    Raises:
        SourceError, TransientError: for whatever the client library raises.
    """
    try:
        yield
    except Exception as error:
        raise failure_of(error) from error


def failure_of(error: Exception, url: str = "") -> SourceError | TransientError:
    """Return a failure by the client library's exception.

    Args:
        error: exception of requests, urllib3 or the standard library.
        url: address that is requested; empty while an answer's body is read.
    """
    import requests.exceptions as of_requests
    import urllib3.exceptions as of_urllib3

    causes = _causes(error)

    def due_to(*types: type[BaseException]) -> bool:
        return any(isinstance(cause, types) for cause in causes)

    for cause in causes:
        if isinstance(cause, StoppedError):
            return cause.failure
    detail = _detail(causes[-1])
    insecure = isinstance(error, of_requests.SSLError | of_urllib3.SSLError) and bool(url)
    if insecure or due_to(ssl.SSLCertVerificationError):
        return SourceError(f"no secure connection ({detail})")
    if isinstance(error, of_requests.ProxyError | of_urllib3.ProxyError):
        return TransientError(f"no connection to the proxy ({detail})")
    if due_to(socket.gaierror):
        return TransientError(f"cannot resolve {_host(url)}")
    if due_to(ConnectionRefusedError):
        return TransientError(f"connection refused by {_host(url)}")
    if due_to(TimeoutError, of_requests.Timeout, of_urllib3.TimeoutError):
        return TransientError("timed out")
    if due_to(of_urllib3.InvalidHeader) or any(
        isinstance(cause, http.client.HTTPException)
        and not isinstance(cause, http.client.RemoteDisconnected | http.client.IncompleteRead)
        for cause in causes
    ):
        return SourceError(f"its answer is not HTTP ({detail})")
    if isinstance(error, ValueError):  # addresses, in the many types that libraries have for them
        return SourceError(f"cannot be requested ({reason_of(error)})")
    if url and isinstance(error, of_requests.ConnectionError):
        return TransientError(f"no connection ({detail})")
    if isinstance(error, of_requests.RequestException | of_urllib3.HTTPError) or due_to(
        ConnectionError
    ):
        return TransientError("the connection broke")
    return SourceError(f"cannot be requested ({reason_of(error)})")


def _causes(error: BaseException) -> list[BaseException]:
    """Return an error and what caused it, the first cause last."""
    found = [error]
    while len(found) < 20:
        last = found[-1]
        inner: list[Any] = [getattr(last, "reason", None), last.__cause__, *last.args]
        inner.append(None if last.__suppress_context__ else last.__context__)
        new = [c for c in inner if isinstance(c, BaseException) and c not in found]
        if not new:
            break
        found.append(new[0])
    return found


def _detail(error: BaseException) -> str:
    """Return an error's text without the addresses of objects."""
    text = re.sub(r"<[^>]*>:? *", "", reason_of(error)).strip("() ")
    return printable(text, 100) or type(error).__name__


def _host(url: str) -> str:
    try:
        return printable(urlsplit(url).hostname or "", 100) or "the server"
    except ValueError:
        return "the server"
