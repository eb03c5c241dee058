"""Writing of a whole synthetic dataset, which is there complete or not at all."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeAlias

from nr3d.errors import DataError, writing
from nr3d.files.atomic import sole_writer
from nr3d.synthetic.cameras import sample_camera
from nr3d.synthetic.checks import check_choice, check_number
from nr3d.synthetic.filming import Film, in_processes
from nr3d.synthetic.layout import Layout, SyntheticSummary, Tracklet
from nr3d.synthetic.people import Person, sample_people
from nr3d.synthetic.settings import (
    CAMERA_SHIFT,
    GENERATOR_VERSION,
    OCCLUDED,
    OCCLUSION,
    OCCLUSIONS,
)
from nr3d.synthetic.truth import write_frames, write_occlusion

Progress: TypeAlias = Callable[[Sequence[Tracklet]], Iterable[Tracklet]]
"""Function that wraps the list of tracklets while they are drawn, as ``tqdm`` does."""

_STRANGERS = 24
_STRANGER_STREAM = 1
_STAMP = "synthetic.json"
_DEFAULTS: dict[str, Any] = {
    "occlusion": OCCLUSION,
    "occluded": OCCLUDED,
    "camera_shift": CAMERA_SHIFT,
}
"""Settings that a stamp leaves out if they have these values."""


def sample_strangers(seed: int) -> list[Person]:
    """Sample the people who match nobody: distractors, passers-by and bystanders."""
    return sample_people(seed, _STRANGERS, _STRANGER_STREAM)


def write_dataset(
    layout: Layout,
    out: str | Path,
    *,
    occlusion: str,
    occluded: float | None,
    camera_shift: float,
    progress: Progress | None,
) -> SyntheticSummary:
    """Draw a dataset; an existing one with the same settings is left as it is.

    ``info/occlusion.txt`` in its folder lists which fraction of the person is hidden in each frame;
    with heavy occlusion, ``info/frames.csv`` lists what is wrong with each.

    Args:
        layout: people and tracklets of the dataset, and the places of its files.
        out: folder that torchreid is given as ``root``.
        occlusion: kind of occlusion, one of ``OCCLUSIONS``.
        occluded: share of the tracklets that suffer from it, 0 to 1; None for the default share of
            the kind.
        camera_shift: factor for the differences between the cameras' colour casts, exposure, gamma
            and haze, 0 to 4; 0 makes all cameras the same, 2 doubles their deviations.
        progress: function that wraps the list of tracklets while they are drawn.

    Raises:
        ConfigError: if an argument is out of its range.
        DataError: if the dataset's folder exists and holds something else.
    """
    check_choice("occlusion", occlusion, OCCLUSIONS)
    occluded = OCCLUSIONS[occlusion] if occluded is None else occluded
    check_number("occluded", occluded, 0.0, 1.0)
    check_number("camera_shift", camera_shift, 0.0, 4.0)
    settings = {"generator": GENERATOR_VERSION, **layout.settings()}
    # defaults are left out, so that settings that are added later do not change old stamps
    given = {
        "occlusion": occlusion,
        "occluded": float(occluded),
        "camera_shift": float(camera_shift),
    }
    settings |= {key: value for key, value in given.items() if value != _DEFAULTS[key]}
    root = Path(out)
    home = root / layout.folder
    if home.exists():
        return _read_existing(home, settings)
    plan = layout.plan()
    summary = layout.summary(root, plan)
    counts = {key: value for key, value in asdict(summary).items() if key != "root"}
    with sole_writer(home):
        if home.exists():  # another process wrote it in the meantime
            return _read_existing(home, settings)
        for left in root.glob(f".{layout.folder}-partial-*"):  # left by a process that was killed
            shutil.rmtree(left, ignore_errors=True)
        partial = Path(tempfile.mkdtemp(prefix=f".{layout.folder}-partial-", dir=root))
        try:
            with writing(home, partial):
                # mkdtemp's folder is private; the one inside gets the usual permissions
                folder = partial / layout.folder
                folder.mkdir()
                seed = layout.film_seed
                cameras = [
                    sample_camera(seed, i, camera_shift) for i in range(1, layout.cameras + 1)
                ]
                strangers = sample_strangers(seed)
                film = Film(layout, plan, cameras, strangers, occlusion, occluded, folder)
                watched = iter(plan if progress is None else progress(plan))
                with in_processes(film) as filmed:
                    found = [truths for truths, _ in zip(filmed, watched, strict=True)]
                info = folder / "info"
                info.mkdir()
                layout.write_tables(folder, plan)
                listed = [
                    (layout.label(tracklet, number), truth)
                    for tracklet, truths in zip(plan, found, strict=True)
                    for number, truth in zip(tracklet.numbers, truths, strict=True)
                ]
                write_occlusion(folder, listed)
                if occlusion == "heavy":
                    write_frames(folder, listed)
                stamp = {"settings": settings, "counts": counts}
                (info / _STAMP).write_bytes(
                    (json.dumps(stamp, indent=2, sort_keys=True) + "\n").encode()
                )
                folder.rename(home)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    return summary


def _read_existing(home: Path, settings: dict[str, Any]) -> SyntheticSummary:
    """Return the summary of an existing dataset; DataError if it is not the requested one."""
    advice = "choose another --out or delete that folder"
    try:
        stamp = json.loads((home / "info" / _STAMP).read_text(encoding="utf-8"))
        found, counts = _DEFAULTS | stamp["settings"], stamp["counts"]
        summary = SyntheticSummary(root=home.parent, **counts)
    except FileNotFoundError:
        raise DataError(
            f"{home} exists and was not written by nr3d synthesize (it has no info/{_STAMP}); "
            f"{advice}"
        ) from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{home} exists and its info/{_STAMP} cannot be read ({error}); {advice}"
        ) from error
    wanted = _DEFAULTS | settings
    if found != wanted:
        differing = ", ".join(
            f"{key} {found.get(key)!r} instead of {wanted.get(key)!r}"
            for key in sorted(wanted.keys() | found.keys())
            if found.get(key) != wanted.get(key)
        )
        raise DataError(f"{home} holds another synthetic dataset ({differing}); {advice}")
    return summary
