"""The truth of each frame: what hides the person, how much of them, and who is seen instead."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from nr3d.errors import DataError

_OCCLUSION = "occlusion.txt"
_FRAMES = "frames.csv"
_COLUMNS = ["frame", "kind", "other"]


@dataclass(frozen=True)
class FrameTruth:
    """What is known of a frame of a synthetic dataset.

    Args:
        hidden: fraction of the person that is hidden or outside the frame, 0 to 1.
        kind: ``'clean'`` or the kind of trouble: ``'passer-by'``, ``'other person'``,
            ``'background'`` or ``'partial box'``. While a tracklet with the usual occlusion is
            filmed, the kind of the occluder.
        other: identity of the other person whom the frame shows; None if there is none.
    """

    hidden: float
    kind: str = "clean"
    other: int | None = None


def write_occlusion(folder: Path, truths: Iterable[tuple[str, FrameTruth]]) -> None:
    """Write ``info/occlusion.txt``: the name and the hidden fraction of each frame."""
    lines = [f"{name} {truth.hidden:.2f}\n" for name, truth in truths]
    (folder / "info" / _OCCLUSION).write_bytes("".join(lines).encode())


def write_frames(folder: Path, truths: Iterable[tuple[str, FrameTruth]]) -> None:
    """Write ``info/frames.csv``: the name, the trouble and the other person of each frame."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(_COLUMNS)
    for name, truth in truths:
        table.writerow([name, truth.kind, "" if truth.other is None else truth.other])
    (folder / "info" / _FRAMES).write_bytes(text.getvalue().encode())


def read_occlusion(folder: str | Path) -> dict[str, float]:
    """Read which fraction of the person is hidden in each frame of a synthetic dataset.

    Args:
        folder: folder of the dataset itself, such as ``data/mars``.

    Returns:
        dict: fraction of the person that is hidden, 0 to 1, by the file name of the frame; for
        PRID2011, whose file names repeat, by the path under ``multi_shot``.

    Raises:
        DataError: if the list is missing or damaged.
    """
    path = Path(folder) / "info" / _OCCLUSION
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
        return {name: float(share) for name, share in (line.rsplit(" ", 1) for line in lines)}
    except FileNotFoundError:
        raise DataError(f"There is no {path}: nr3d synthesize writes it with a dataset.") from None
    except ValueError as error:
        raise DataError(f"{path} is damaged ({error}); draw the dataset again.") from error


def read_frames(folder: str | Path) -> dict[str, FrameTruth]:
    """Read what is wrong with each frame of a synthetic dataset with heavy occlusion.

    Args:
        folder: folder of the dataset itself, such as ``data/mars``.

    Returns:
        dict: :class:`FrameTruth` by the name of the frame, as in :func:`read_occlusion`.

    Raises:
        DataError: if a list is missing or damaged, or the lists do not name the same frames.

    Examples:
        >>> from nr3d.synthetic import read_frames, write_mars
        >>> summary = write_mars("heavy", 4, cameras=2, frames=(2, 2), occlusion="heavy")
        >>> truths = read_frames("heavy/mars")
        >>> len(truths) == summary.frames
        True
        >>> {truth.hidden for truth in truths.values() if truth.kind == "clean"}
        {0.0}
    """
    hidden = read_occlusion(folder)
    path = Path(folder) / "info" / _FRAMES
    try:
        rows = list(csv.reader(io.StringIO(path.read_text(encoding="utf-8"))))
        if rows[:1] != [_COLUMNS]:
            raise ValueError(f"its first line is not {','.join(_COLUMNS)}")
        truths = {
            name: FrameTruth(hidden[name], kind, int(other) if other else None)
            for name, kind, other in rows[1:]
        }
        if truths.keys() != hidden.keys():
            missing = next(name for name in hidden if name not in truths)
            raise ValueError(f"it does not name {missing}")
    except FileNotFoundError:
        raise DataError(
            f"There is no {path}: nr3d synthesize writes it with --occlusion heavy."
        ) from None
    except KeyError as error:
        raise DataError(
            f"{path} is damaged ({_OCCLUSION} does not name {error}); draw the dataset again."
        ) from error
    except (ValueError, csv.Error) as error:
        raise DataError(f"{path} is damaged ({error}); draw the dataset again.") from error
    return truths
