"""Fixtures of the tests of checks."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from nr3d.checking import Finding, Report

Only = Callable[..., Finding]


@pytest.fixture
def only() -> Only:
    """Return a function that finds the one finding of a level with some words."""

    def find(report: Report, level: str, words: str) -> Finding:
        found = [finding for finding in report.findings if words in finding.what]
        assert len(found) == 1, report.findings
        assert found[0].level == level
        return found[0]

    return find
