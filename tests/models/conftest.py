"""Parts of networks that are registered from outside."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.models.outside import registered


@pytest.fixture
def outside() -> Iterator[None]:
    """Everything of :mod:`tests.models.outside`, registered."""
    with registered():
        yield
