"""Patterns of file names that say which person and camera an image shows."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from nr3d.errors import ConfigError, shown

GROUPS = ("person", "camera", "sequence", "tracklet", "frame")
"""Names of the groups of a pattern; the first two are needed."""

BY = ("camera", "sequence", "tracklet")
"""What the images of one person are grouped by into tracklets.

``camera`` takes all images of a person in one camera, ``sequence`` those of one of its recordings.
``tracklet`` takes those of a tracklet that the names themselves number.
"""


@dataclass(frozen=True)
class Pattern:
    """A pattern of image paths under the folder of a dataset.

    Args:
        text: its name in :data:`PATTERNS`, or the regular expression itself.
        expression: regular expression of a whole path, with some of :data:`GROUPS`.
        example: a path that it matches; empty where none is known.
        junk: values of ``person`` that mark images to leave out.
        distractors: values of ``person`` that mark images of nobody in particular.
        order: groups that give the order of a tracklet's images, the first one first.
    """

    text: str
    expression: re.Pattern[str]
    example: str = ""
    junk: frozenset[str] = frozenset()
    distractors: frozenset[str] = frozenset()
    order: tuple[str, ...] = ("sequence", "tracklet", "frame")

    @property
    def default_by(self) -> str:
        """What images are grouped by unless their user says otherwise, one of :data:`BY`."""
        return "tracklet" if "tracklet" in self.expression.groupindex else "camera"

    def read(self, path: str) -> Mapping[str, str] | None:
        """Return the values of the groups in a path; None if it does not match.

        Args:
            path: path of an image under the folder of the dataset.

        Examples:
            >>> pattern_of("market1501").read("0002_c1s1_000451_03.jpg")["person"]
            '0002'
            >>> pattern_of("market1501").read("portrait.jpg") is None
            True
        """
        match = self.expression.fullmatch(path)
        found = {} if match is None else {k: v for k, v in match.groupdict().items() if v}
        return found if "person" in found and "camera" in found else None


PATTERNS = {
    pattern.text: pattern
    for pattern in (
        # person, camera, recording, number of the frame in it, number of the detection; -1 are
        # poor detections, 0000 detections of the background and of people who are no queries
        Pattern(
            "market1501",
            re.compile(
                r"(?P<person>-1|\d{4,})_c(?P<camera>\d+)s(?P<sequence>\d+)_(?P<frame>\d+)_\d+"
                r"\.\w+"
            ),
            "0002_c1s1_000451_03.jpg",
            junk=frozenset({"-1"}),
            distractors=frozenset({"0000"}),
        ),
        Pattern(
            "dukemtmcreid",
            re.compile(r"(?P<person>\d{4,})_c(?P<camera>\d+)_f(?P<frame>\d+)\.\w+"),
            "0001_c2_f0046182.jpg",
        ),
        # folder of the person, person, number of the image among the person's, camera, date and
        # part of the day, two numbers, sometimes "ex"; 0000 is a person like others. The parts of
        # the day do not sort as texts, and the numbers of the images follow the time.
        Pattern(
            "msmt17",
            re.compile(
                r"(?:\d{4,}/)?(?P<person>\d{4,})_(?P<frame>\d+)_(?P<camera>\d+)_"
                r"(?P<sequence>\d{4}[a-z]+)_\d+_\d+(?:_ex)?\.\w+"
            ),
            "0000/0000_000_01_0303morning_0008_0.jpg",
            order=("frame",),
        ),
    )
}
"""Patterns of known datasets, by torchreid's names."""


def known_patterns() -> str:
    """Return the known patterns with an example of each, for messages."""
    return ", ".join(f"{name} ({known.example})" for name, known in PATTERNS.items())


def pattern_of(text: str) -> Pattern:
    """Return the pattern of a known name, or of a regular expression.

    Args:
        text: one of :data:`PATTERNS`, or a regular expression of the whole path of an image under
            the folder of its dataset, with the groups ``person`` and ``camera`` and, if there are
            such, ``sequence``, ``tracklet`` and ``frame``.

    Raises:
        ConfigError: if it is neither.

    Examples:
        >>> own = pattern_of(r"(?P<person>[a-z]+)/cam(?P<camera>[12])-(?P<frame>[0-9]+)[.]png")
        >>> own.read("anna/cam2-17.png")
        {'person': 'anna', 'camera': '2', 'frame': '17'}
    """
    if text in PATTERNS:
        return PATTERNS[text]
    expected = (
        f"expected one of {known_patterns()}, or a regular expression of a whole path such as "
        "'(?P<person>[0-9]+)_cam(?P<camera>[0-9]+)_(?P<frame>[0-9]+)[.]jpg'"
    )
    try:
        expression = re.compile(text)
    except (re.error, OverflowError, RecursionError) as error:
        raise ConfigError(
            f"pattern {shown(text)} is no regular expression ({error}), {expected}"
        ) from error
    groups = expression.groupindex
    missing = [name for name in GROUPS[:2] if name not in groups]
    unknown = [name for name in groups if name not in GROUPS]
    if missing or unknown:
        which = f"no group {' and '.join(missing)}" if missing else f"a group {unknown[0]}"
        raise ConfigError(
            f"pattern {shown(text)} has {which}, {expected}, with some of the groups "
            f"{', '.join(GROUPS)}"
        )
    return Pattern(text, expression)


def check_by(by: str, pattern: Pattern) -> str:
    """Return what images are grouped by, the pattern's default for an empty text.

    Raises:
        ConfigError: if it is none of :data:`BY`, or the pattern has no such group.
    """
    by = by or pattern.default_by
    if by not in BY:
        raise ConfigError(f"by is {shown(by)}, expected one of {', '.join(BY)}")
    if by not in pattern.expression.groupindex:
        raise ConfigError(
            f"by is {by!r}, and pattern {shown(pattern.text)} has no group {by}: group by camera, "
            f"or give a pattern with (?P<{by}>...)"
        )
    return by
