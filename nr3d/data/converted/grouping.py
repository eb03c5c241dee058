"""Images whose names say whom they show, grouped into tracklets."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from nr3d.data.converted.patterns import Pattern, known_patterns
from nr3d.data.converted.tree import PlainTracklet
from nr3d.data.folders import is_litter, look_into
from nr3d.data.frames import by_number, is_image
from nr3d.errors import DataError, printable, shown


@dataclass
class Grouping:
    """The images of a folder, grouped into tracklets.

    Args:
        folder: folder of the images.
        pattern: pattern of their paths under it.
        tracklets: the tracklets, sorted by person, camera and name; each distractor is one of a
            single image.
        junk: paths of images that the pattern marks as junk.
        unmatched: paths of images that do not match the pattern.
        skipped: paths of files and folders that are no images.
    """

    folder: Path
    pattern: Pattern
    tracklets: list[PlainTracklet] = field(default_factory=list)
    junk: list[str] = field(default_factory=list)
    unmatched: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)


def group(folder: Path, pattern: Pattern, by: str) -> Grouping:
    """Group the images in a folder and in its folders into tracklets, by their names.

    Litter, as :func:`nr3d.data.folders.is_litter` defines it, and files not named as images are
    ignored.

    Args:
        folder: folder of the images.
        pattern: pattern of their paths under the folder.
        by: group of the pattern by whose values a person's images are grouped, one of
            :data:`nr3d.data.converted.patterns.BY`.

    Raises:
        DataError: if no image matches the pattern, or a person or camera has two names, such as
            2 and 0002; the message shows an image.
    """
    found = Grouping(folder, pattern)
    groups: dict[tuple[str, str, str], list[tuple[str, Mapping[str, str]]]] = {}
    examples: dict[tuple[str, str], str] = {}
    for path in _images(folder, found.skipped):
        values = pattern.read(path)
        if values is None:
            found.unmatched.append(path)
            continue
        person = values["person"]
        for kind in ("person", "camera"):
            examples.setdefault((kind, values[kind]), path)
        if person in pattern.junk:
            found.junk.append(path)
        elif person in pattern.distractors:
            lone = PlainTracklet("", values["camera"], path, (path,), own_folder=False)
            found.tracklets.append(lone)
        else:
            name = values.get(by, "") if by != "camera" else ""
            groups.setdefault((person, values["camera"], name), []).append((path, values))

    if not groups:
        _refuse_unmatched(found)
    _refuse_two_names(folder, examples)

    def time(image: tuple[str, Mapping[str, str]]) -> tuple[object, ...]:
        path, values = image
        order = [by_number(values.get(name, "")) for name in pattern.order]
        return *order, by_number(path), path

    for (person, camera, name), images in groups.items():
        frames = tuple(path for path, _ in sorted(images, key=time))
        found.tracklets.append(PlainTracklet(person, camera, name, frames, own_folder=False))
    found.tracklets.sort(key=lambda tracklet: (tracklet.identity, tracklet.camera, tracklet.name))
    return found


def _images(folder: Path, skipped: list[str]) -> list[str]:
    """Return the paths of the images under a folder; other paths are added to ``skipped``."""
    images: list[str] = []

    def descend(place: str, above: frozenset[str]) -> None:
        home = folder / place
        real = os.path.realpath(home)
        if real in above:  # a link to a folder that holds it
            skipped.append(place.rstrip("/"))
            return
        listed = look_into(home)
        images.extend(f"{place}{name}" for name in listed.files if is_image(name))
        folders = [name for name in listed.folders if not is_litter(name)]
        others = {*listed.folders, *listed.files, *listed.neither} - {*folders, *listed.files}
        others |= {name for name in listed.files if not is_image(name)}
        skipped.extend(f"{place}{name}" for name in sorted(others))
        for name in folders:
            descend(f"{place}{name}/", above | {real})

    descend("", frozenset())
    return images


def _refuse_two_names(folder: Path, examples: Mapping[tuple[str, str], str]) -> None:
    """Refuse persons, and cameras, whose names are the same number in other digits.

    Args:
        folder: folder of the images.
        examples: path of an image of each person and camera, by the kind and the name.
    """
    first: dict[tuple[str, tuple[object, ...]], str] = {}
    for kind, name in examples:
        other = first.setdefault((kind, tuple(by_number(name))), name)
        if other != name:
            one, two = (printable(examples[kind, each]) for each in (other, name))
            raise DataError(
                f"{folder} has images of {kind} {shown(other)} ({one}) and of {kind} "
                f"{shown(name)} ({two}), which are the same number: rename the images, or give a "
                "pattern of which the names differ."
            )


def _refuse_unmatched(found: Grouping) -> None:
    """Refuse a folder of which no image shows a person, with an example of its images."""
    where, text = found.folder, found.pattern.text
    if not (found.unmatched or found.junk or found.tracklets):
        raise DataError(f"{where} holds no image: give the folder that holds the images.")
    if not found.unmatched:
        raise DataError(
            f"{where} holds no person: all its images are marked as junk or distractors by the "
            f"pattern {text}. Give the folder that holds the images of people."
        )
    example = found.unmatched[0]
    empty = found.pattern.expression.fullmatch(example) is not None
    said = " with a person and a camera that are not empty" if empty else ""
    advice = "Give a pattern that fits"
    folder, _, name = example.rpartition("/")
    if folder and found.pattern.read(name) is not None:
        advice = f"Give the folder {where / folder}, or a pattern that fits"
    raise DataError(
        f"None of the {len(found.unmatched):,} images in {where} matches the pattern "
        f"{printable(text)}{said}, such as {printable(example)}. {advice}: one of "
        f"{known_patterns()}, or a regular expression of the whole path."
    )
