"""A file from Google Drive, by gdown."""

from __future__ import annotations

import re
from pathlib import Path

from tqdm import tqdm

from nr3d.weights.http import PATIENCE, Patience, SourceError, looks_like_html, page_of


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
    import requests

    folder.mkdir(parents=True, exist_ok=True)
    target = folder / "file"
    with tqdm(desc=label, unit="B", unit_scale=True, leave=False, disable=None) as bar:

        def progress(done: int, total: int | None) -> None:
            bar.total = total
            bar.update(done - bar.n)

        try:
            gdown.download(
                id=file_id,
                output=str(target),
                quiet=True,
                resume=True,
                use_cookies=False,
                timeout=(patience.connect, patience.read),
                retries=patience.attempts - 1,
                progress=progress,
            )
        except (
            gdown.exceptions.DownloadError,
            gdown.exceptions.FileURLRetrievalError,
            requests.exceptions.RequestException,
        ) as error:
            raise SourceError(_reason(error)) from error
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
    if "NameResolution" in text:
        return "cannot resolve drive.google.com"
    if "refused" in text:
        return "connection refused by drive.google.com"
    if "timed out" in text:
        return "timed out"
    status = re.search(r"\b([45]\d\d) (?:Client|Server) Error", text)
    return f"HTTP {status[1]}" if status else text[:120]
