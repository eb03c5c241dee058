"""Check of the frames of PRID2011 and iLIDS-VID, with a tracklet under each of two cameras."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from nr3d.checking.order import check_order
from nr3d.data.datasets.findings import Report
from nr3d.data.datasets.two_cameras import People, find_sequences


def check_sequences(
    report: Report, cameras: Mapping[str, People], people: Sequence[str], source: str, again: str
) -> list[str]:
    """Check the frames of the people of the splits.

    Args:
        report: report of the dataset, which takes the findings.
        cameras: the people under each camera, by the path of its folder under the dataset's.
        people: names of the people of all splits.
        source: name of the file of the splits.
        again: advice on how to get missing frames.

    Returns:
        list: paths of the frames that the loader uses.
    """
    found = find_sequences(report, cameras, people, source, again)
    unseen: list[str] = []
    tracklets: list[tuple[str, Sequence[str]]] = []
    for camera, there in cameras.items():
        for person in people:
            names = found[camera].get(person, ())
            seen = set(names)
            others = [name for name in there.get(person, ()) if name not in seen]
            unseen.extend(f"{camera}/{person}/{name}" for name in others)
            if names:
                tracklets.append((f"{camera}/{person}", names))
    report.add(
        "warning",
        "Images that the loader does not see, since it takes .png only",
        "Convert them to PNG if they are frames, else remove them.",
        unseen,
    )
    check_order(
        report,
        tracklets,
        "the order of their names",
        "Rename the frames so that each has a number of its own, and its name is the others' "
        "but for it.",
    )
    return [f"{report.folder}/{place}/{name}" for place, names in tracklets for name in names]
