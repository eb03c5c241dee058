"""Files on Google Drive.

gdown finds the file's address in the page before it; the download is that of any other file.
"""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

from nr3d.errors import reason_of
from nr3d.weights.http import PATIENCE, Patience, SourceError, download, read_page
from nr3d.weights.pages import page_of


def download_drive(
    file_id: str,
    part: Path,
    *,
    label: str = "",
    size: int | None = None,
    patience: Patience = PATIENCE,
) -> None:
    """Download a file from Google Drive, resuming from what ``part`` already holds.

    Args:
        file_id: Google Drive's id of the file.
        part: path to write to. Whatever happens, a later call can resume from what it holds.
        label: text beside the progress bar.
        size: size of the file in bytes, if known.
        patience: limits on attempts, time and rate.

    Raises:
        SourceError: if Google Drive does not provide the file.
        WeightsError: if the disk is full or the folder cannot be written.
    """
    url = f"https://drive.google.com/uc?id={file_id}"
    ends = time.monotonic() + patience.total
    page = read_page(url, patience)
    if page is not None:  # before a large file, it asks for a confirmation
        url = _link_in(page)
    left = replace(patience, total=max(0.0, ends - time.monotonic()))
    download(url, part, label=label, size=size, patience=left)


def _link_in(page: bytes) -> str:
    """Return the address behind a page that asks to confirm the download of a file."""
    try:
        from gdown.download import get_url_from_gdrive_confirmation
    except ImportError as error:
        raise SourceError(f"gdown cannot read its page ({reason_of(error)})") from error
    # gdown parses line by line: many empty ones would take long.
    lines = [line for line in page.decode("utf-8", "replace").splitlines() if line.strip()]
    try:
        link: str = get_url_from_gdrive_confirmation("\n".join(lines))
    except Exception as error:
        raise SourceError(page_of(page)) from error
    if not link.startswith("https://"):
        raise SourceError(page_of(page))
    return link
