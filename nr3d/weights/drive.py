"""A file from Google Drive, by gdown."""

from __future__ import annotations

import re
from pathlib import Path

from tqdm import tqdm

from nr3d.weights.http import (
    PATIENCE,
    AgainError,
    Patience,
    SourceError,
    network,
    persist,
)
from nr3d.weights.pages import looks_like_html, page_of


def download_drive(
    file_id: str, folder: Path, *, label: str = "", patience: Patience = PATIENCE
) -> Path:
    """Download a file from Google Drive, going on with what an earlier call left.

    Args:
        file_id: Google Drive's id.
        folder: a folder for this file alone; gdown keeps its part there.
        label: for the progress bar.
        patience: how long to try.

    Returns:
        Path: the file, in ``folder``.

    Raises:
        SourceError: if Google Drive does not give it.
    """
    import gdown

    folder.mkdir(parents=True, exist_ok=True)
    target = folder / "file"

    def gained() -> int:
        return sum(path.stat().st_size for path in folder.iterdir())

    with tqdm(desc=label, unit="B", unit_scale=True, leave=False, disable=None) as bar:

        def progress(done: int, total: int | None) -> None:
            bar.total = total
            bar.update(done - bar.n)

        def attempt() -> None:
            try:
                with network("https://drive.google.com"):
                    gdown.download(
                        id=file_id,
                        output=str(target),
                        quiet=True,
                        resume=True,
                        use_cookies=False,
                        timeout=(patience.connect, patience.read),
                        progress=progress,
                    )
            except gdown.exceptions.FileURLRetrievalError as error:
                raise SourceError(_reason(error)) from error
            except gdown.exceptions.DownloadError as error:
                raise AgainError(_reason(error)) from error

        persist(attempt, gained, patience)
    with target.open("rb") as file:
        head = file.read(1 << 16)
    if looks_like_html(head):
        target.unlink()
        raise SourceError(page_of(head))
    return target


def _reason(error: Exception) -> str:
    """Say in a few words what gdown says in many."""
    text = " ".join(str(error).split())
    if re.search(r"quota|many accesses|too many users", text, re.IGNORECASE):
        return "answered with a quota or permission page instead of the file"
    return text[:120]
