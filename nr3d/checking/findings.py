"""What a check found: each with its level, the files it is about and the mend."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

LEVELS = ("error", "warning", "note")
"""An error stops a run or makes its figures wrong; a warning may; a note is only said."""


@dataclass(frozen=True)
class Finding:
    """One kind of thing that was found, with all its places.

    Args:
        level: of :data:`LEVELS`.
        what: what is wrong, naming the file.
        mend: what to do about it.
        places: files, rows or people that it is about; empty if ``what`` says it all.
    """

    level: str
    what: str
    mend: str
    places: tuple[str, ...] = ()


@dataclass
class Report:
    """A dataset's counts, and what its check found.

    Args:
        dataset: its name.
        folder: where it lies; places are relative to it.
        counts: what there is, by name.
        published: what the published dataset has, by the names of the counts.
        findings: in the order they were found.
        decoded: frames that were decoded.
    """

    dataset: str
    folder: Path
    counts: dict[str, int] = field(default_factory=dict)
    published: dict[str, int] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    decoded: int = 0

    def add(self, level: str, what: str, mend: str, places: Sequence[str] | None = None) -> None:
        """Take a finding in; nothing where ``places`` is given and holds none."""
        if places is None or len(places):
            self.findings.append(Finding(level, what, mend, tuple(places or ())))

    def of(self, level: str) -> list[Finding]:
        """The findings of a level."""
        return [finding for finding in self.findings if finding.level == level]

    def compare(self, published: Mapping[str, int], *, synthetic: bool = False) -> None:
        """Report the counts that are not the published dataset's.

        Args:
            published: what it has, by the names of the counts.
            synthetic: the dataset is a drawn one, which has counts of its own.
        """
        self.published = dict(published)
        self.add(
            "note" if synthetic else "warning",
            f"Counts of {self.folder} that are not those of the published dataset",
            "Nothing: it is a synthetic one."
            if synthetic
            else "Fetch and unpack the dataset again, whole; nothing, if it is meant to be a part "
            "or a set of your own. Figures on it do not compare with published ones.",
            [
                f"{name}: {self.counts[name]:,}, published {expected:,}"
                for name, expected in published.items()
                if self.counts.get(name, expected) != expected
            ],
        )

    def to_mapping(self) -> dict[str, Any]:
        """Everything, for a machine to read."""
        return {
            "dataset": self.dataset,
            "folder": str(self.folder),
            "counts": dict(self.counts),
            "published": dict(self.published),
            "decoded": self.decoded,
            **{f"{level}s": len(self.of(level)) for level in LEVELS},
            "findings": [
                {
                    "level": finding.level,
                    "what": finding.what,
                    "mend": finding.mend,
                    "places": list(finding.places),
                }
                for finding in self.findings
            ],
        }
