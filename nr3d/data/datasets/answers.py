"""Check that the queries of a test can be answered from its gallery."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from nr3d.data.datasets.findings import Report


def check_answers(
    report: Report,
    source: str,
    queries: Sequence[tuple[str, int | str, int | str]],
    gallery: Iterable[tuple[int | str, int | str]],
    again: str,
) -> None:
    """Report queries whose person is not in the gallery under another camera.

    Args:
        report: report of the dataset, which takes the findings.
        source: name of the file that says which tracklets are queries.
        queries: label, person and camera of each query.
        gallery: person and camera of each gallery tracklet.
        again: advice for when no query can be answered.
    """
    cameras: dict[int | str, set[int | str]] = {}
    for person, camera in gallery:
        cameras.setdefault(person, set()).add(camera)
    without = [
        f"{where}: person {person}, camera {camera}"
        for where, person, camera in queries
        if not cameras.get(person, set()) - {camera}
    ]
    if len(without) == len(queries):
        report.add(
            "error",
            f"None of the {len(queries)} queries of {source} has its person in the gallery under "
            "another camera: there is nothing to test",
            again,
        )
        return
    report.add(
        "note",
        f"Queries of {source} whose person is not in the gallery under another camera",
        "Nothing: figures are of the other queries.",
        without,
    )
