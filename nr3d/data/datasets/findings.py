"""Findings about a dataset: what is wrong, the files that it concerns, and what to do about it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nr3d.errors import DataError, printable, reason_of

LEVELS = ("error", "warning", "note")
"""Levels of a finding.

An error stops a run or makes its figures wrong, a warning may do so, and a note only informs.
"""


@dataclass(frozen=True)
class Finding:
    """One kind of finding, with all its places.

    Args:
        level: the level, one of :data:`LEVELS`.
        what: description of the finding, with the name of the file.
        remedy: advice on how to solve it.
        places: the files, rows or people that it concerns; empty if ``what`` says everything.
    """

    level: str
    what: str
    remedy: str
    places: tuple[str, ...] = ()


@dataclass
class Report:
    """The counts of a dataset, and the findings about it.

    Args:
        dataset: name of the dataset.
        folder: folder of the dataset; places are relative to it.
        counts: counts of the dataset's items, by name.
        published: counts of the published dataset, by the same names.
        findings: the findings, in the order in which they were made.
        decoded: number of frames that were decoded.
    """

    dataset: str
    folder: Path
    counts: dict[str, int] = field(default_factory=dict)
    published: dict[str, int] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    decoded: int = 0

    def add(self, level: str, what: str, remedy: str, places: Sequence[str] | None = None) -> None:
        """Add a finding, unless ``places`` is given and empty."""
        if places is None or len(places):
            self.findings.append(Finding(level, what, remedy, tuple(places or ())))

    def add_refusal(self, error: OSError) -> None:
        """Add an error about a folder or file that the system refuses to read."""
        path = self.folder if error.filename is None else error.filename
        self.add(
            "error",
            f"{path} cannot be read ({error.strerror or reason_of(error)})",
            "Make it readable for the user that runs this, or restore it.",
        )

    def of(self, level: str) -> list[Finding]:
        """Return the findings of a level."""
        return [finding for finding in self.findings if finding.level == level]

    def raise_first_error(self, root: Path) -> None:
        """Raise the first error that was found, in the words of the finding.

        Args:
            root: folder that holds the datasets' folders.

        Raises:
            DataError: if there is an error.
        """
        for found in self.of("error")[:1]:
            where = f": {printable(found.places[0])}" if found.places else ""
            more = f" and {len(found.places) - 1:,} more" if len(found.places) > 1 else ""
            raise DataError(
                f"Dataset {self.dataset!r} cannot be loaded from {root}: {found.what}{where}{more}."
                f" {found.remedy}"
            )

    def compare(self, published: Mapping[str, int], *, synthetic: bool = False) -> None:
        """Report the counts that are not those of the published dataset.

        Args:
            published: the counts of the published dataset, by name.
            synthetic: whether the dataset is a synthetic one, which has counts of its own.
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
        """Return everything as plain values, as the JSON file holds it."""
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
                    "mend": finding.remedy,
                    "places": list(finding.places),
                }
                for finding in self.findings
            ],
        }
