"""Pictures of a ranking: queries down the left, their best matches across."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont, ImageOps

from nr3d.data.frames import in_time_order, read_frame
from nr3d.errors import FrameError
from nr3d.files.atomic import replacing

logger = logging.getLogger(__name__)

Tracklet: TypeAlias = tuple[Sequence[str], int, int] | tuple[Sequence[str], int, int, int]
"""torchreid's tuple: frame paths, pid, camid and, since 1.3, dsetid."""

RIGHT = (24, 144, 72)
WRONG = (208, 48, 48)
QUERY = (64, 104, 168)
"""Colours of a frame's border: same person, another person, the query itself."""

_PAPER = (255, 255, 255)
_EMPTY = (238, 238, 241)
_CROSS = (178, 178, 186)
_RULE = (222, 222, 228)
_INK = (32, 32, 38)
_FAINT_INK = (104, 104, 114)

_BORDER = 4
_GAP = 2  # between the frames of a strip
_COLUMN_GAP = 14
_ROW_GAP = 16
_MARGIN = 24


def draw_ranking(
    distances: npt.ArrayLike,
    query: Sequence[Tracklet],
    gallery: Sequence[Tracklet],
    *,
    topk: int = 5,
    frames: int = 4,
    rows: Sequence[int] | None = None,
    frame_size: tuple[int, int] = (96, 48),
    title: str = "",
    subtitle: str = "",
) -> Image.Image:
    """Draw queries with their nearest gallery tracklets, framed green if correct and red if wrong.

    Gallery tracklets of the query's person under the query's camera are left out, as in
    torchreid's evaluation, and so are those at an infinite distance, which were not ranked. A row
    with fewer than ``topk`` tracklets left ends early, and there is no empty column. A tracklet is
    drawn as a strip of its frames, evenly spaced in time; a frame that cannot be read becomes a
    crossed-out field, and the log names its file.

    Args:
        distances: distances that the gallery was ranked by; small is similar.
        query: torchreid's tuples of the queries.
        gallery: torchreid's tuples of the gallery.
        topk: number of matches in a row, at least 1.
        frames: number of frames of a tracklet's strip, at least 1; a shorter tracklet shows all
            that it has.
        rows: indices of the queries to draw, in this order; default is all.
        frame_size: height and width of a frame, in pixels; frames of another aspect ratio are
            padded.
        title: heading of the picture.
        subtitle: smaller second line of the heading.

    Returns:
        Image: picture in RGB, as large as it needs to be.

    Shape:
        - distances: (Q, G) for Q queries and G gallery tracklets

    Raises:
        ValueError: if the distances do not fit the tracklets, or a setting is out of range.

    Examples:
        >>> query, gallery = [(("q.jpg",), 7, 0, 0)], [(("g.jpg",), 7, 1, 0)]
        >>> draw_ranking([[0.21]], query, gallery, topk=1).mode
        'RGB'
    """
    matrix = _checked(distances, query, gallery, topk=topk)
    for name, value in (("frames", frames), ("frame_size", min(frame_size))):
        if value < 1:
            raise ValueError(f"{name} must be at least 1, got {value}")
    drawn = list(range(len(query)) if rows is None else rows)
    if not drawn or min(drawn) < 0 or max(drawn) >= len(query):
        raise ValueError(f"rows must be indices of the {len(query)} queries, got {drawn}")

    grid = []
    for row in drawn:
        _, pid, camid = query[row][:3]
        cells = [_Cell(query[row], f"query  id {pid} · cam {camid}", QUERY)]
        for rank, index in enumerate(_best(matrix[row], query[row], gallery, topk), start=1):
            _, other, camera = gallery[index][:3]
            caption = f"#{rank}  d {_digits(matrix[row, index])}  id {other} · cam {camera}"
            cells.append(_Cell(gallery[index], caption, RIGHT if other == pid else WRONG))
        grid.append(cells)
    style = _Style.for_frames(*frame_size, frames)
    columns = max(len(cells) for cells in grid) - 1
    return _page(grid, columns, _heading(title, subtitle, style), _legend(style), style)


def write_rankings(
    distances: npt.ArrayLike,
    query: Sequence[Tracklet],
    gallery: Sequence[Tracklet],
    out_dir: str | Path,
    *,
    topk: int = 10,
    rows_per_page: int = 8,
    title: str = "",
) -> list[Path]:
    """Write the rankings of all queries as pages ``ranking_001.png``, ``ranking_002.png``, ….

    A page appears under its name only when it is whole. Pages of an earlier, longer run stay.

    Args:
        distances: distances that the gallery was ranked by; small is similar.
        query: torchreid's tuples of the queries.
        gallery: torchreid's tuples of the gallery.
        out_dir: folder of the pages, made if it is missing.
        topk: number of matches in a row, at least 1.
        rows_per_page: number of queries on a page, at least 1.
        title: heading of every page.

    Returns:
        list: files of the pages, in order; none if there is no query.

    Shape:
        - distances: (Q, G) for Q queries and G gallery tracklets

    Raises:
        ValueError: if the distances do not fit the tracklets, or a setting is out of range.
        OutputError: if a page cannot be written.

    Examples:
        >>> write_rankings(np.zeros((0, 5)), [], [(("g.jpg",), 7, 1, 0)] * 5, "rankings")
        []
    """
    matrix = _checked(distances, query, gallery, topk=topk, rows_per_page=rows_per_page)
    starts = range(0, len(query), rows_per_page)
    paths = []
    for page, start in enumerate(starts, start=1):
        rows = range(start, min(start + rows_per_page, len(query)))
        subtitle = (
            f"queries {rows[0] + 1} to {rows[-1] + 1} of {len(query)} · "
            f"page {page} of {len(starts)}"
        )
        picture = draw_ranking(
            matrix, query, gallery, topk=topk, rows=rows, title=title, subtitle=subtitle
        )
        paths.append(Path(out_dir) / f"ranking_{page:03d}.png")
        save_picture(picture, paths[-1])
    return paths


def save_picture(picture: Image.Image, path: str | Path) -> None:
    """Write a picture as PNG; at every moment, ``path`` holds the old file or the whole new one.

    Args:
        picture: picture to write.
        path: file to write; missing folders are made.

    Raises:
        OutputError: if the picture cannot be written.
    """
    with replacing(path) as partial:
        picture.save(partial, format="PNG")


def _checked(
    distances: npt.ArrayLike,
    query: Sequence[Tracklet],
    gallery: Sequence[Tracklet],
    **counts: int,
) -> npt.NDArray[np.floating]:
    """Return the distances as an array, (Q, G) for the given tracklets."""
    for name, value in counts.items():
        if value < 1:
            raise ValueError(f"{name} must be at least 1, got {value}")
    matrix = np.asarray(distances)
    if matrix.shape != (len(query), len(gallery)):
        raise ValueError(
            f"expected distances of shape (Q, G) for {len(query)} query and {len(gallery)} "
            f"gallery tracklets, got {matrix.shape}"
        )
    return matrix


def _best(
    distances: npt.NDArray[np.floating],
    query: Tracklet,
    gallery: Sequence[Tracklet],
    topk: int,
) -> list[int]:
    """Return the nearest gallery tracklets that the protocol counts, nearest first."""
    best: list[int] = []
    # A page has few rows: walking down the order is cheaper than masks over the whole gallery.
    for index in np.argsort(distances, kind="stable"):
        if len(best) == topk or distances[index] == np.inf:
            break
        if tuple(gallery[index][1:3]) != tuple(query[1:3]):
            best.append(int(index))
    return best


def _digits(distance: float) -> str:
    """Return three significant digits: 0.210, 12.3, 123; thousands in full."""
    text = f"{distance:#.3g}"
    return f"{distance:.0f}" if "e+" in text else text.removesuffix(".")


@dataclass(frozen=True)
class _Cell:
    """One framed tracklet and the caption below it."""

    tracklet: Tracklet
    caption: str
    colour: tuple[int, int, int]


@dataclass(frozen=True)
class _Style:
    """Fonts, and sizes in pixels that follow from the size of a frame."""

    height: int
    width: int
    frames: int
    text: ImageFont.FreeTypeFont | ImageFont.ImageFont
    large: ImageFont.FreeTypeFont | ImageFont.ImageFont
    line: int

    @classmethod
    def for_frames(cls, height: int, width: int, frames: int) -> _Style:
        size = max(13, round(0.14 * height))
        text, large = (ImageFont.load_default(size=round(scale * size)) for scale in (1, 1.6))
        return cls(height, width, frames, text, large, line=round(1.6 * size))

    @property
    def mark(self) -> int:
        """Side of a tick or a cross, in pixels."""
        return self.line // 2


def _page(
    grid: Sequence[Sequence[_Cell]],
    columns: int,
    heading: Image.Image,
    legend: Image.Image,
    style: _Style,
) -> Image.Image:
    """Lay out the rows; every column has the width that the widest cell needs."""
    strip_width = style.frames * (style.width + _GAP) - _GAP + 2 * _BORDER
    captions = max(style.text.getlength(cell.caption) for cells in grid for cell in cells)
    cell_width = max(strip_width, ceil(captions) + 2 * style.mark)
    step_x = cell_width + _COLUMN_GAP
    step_y = style.height + 2 * _BORDER + style.line + _ROW_GAP

    width = max((columns + 1) * step_x, heading.width + _COLUMN_GAP + legend.width)
    top = _MARGIN + max(heading.height, legend.height) + _ROW_GAP // 2
    bottom = top + len(grid) * step_y
    page = Image.new("RGB", (width + 2 * _MARGIN, bottom + _MARGIN), _PAPER)
    page.paste(heading, (_MARGIN, _MARGIN))
    page.paste(legend, (_MARGIN + width - legend.width, top - _ROW_GAP // 2 - legend.height))

    draw = ImageDraw.Draw(page)
    for row, cells in enumerate(grid):
        y = top + row * step_y
        draw.line((_MARGIN, y, _MARGIN + width, y), _RULE)
        for column, cell in enumerate(cells):
            # A rule stands between the queries and their matches, with a gap on both its sides.
            x = _MARGIN + column * step_x + (_COLUMN_GAP if column else 0)
            page.paste(_draw_cell(cell, cell_width, style), (x, y + _ROW_GAP // 2))
    draw.line((_MARGIN + step_x, top, _MARGIN + step_x, bottom), _RULE)
    return page


def _draw_cell(cell: _Cell, width: int, style: _Style) -> Image.Image:
    """Draw the framed strip with its caption, and a tick or a cross, below it."""
    framed = ImageOps.expand(_strip(cell.tracklet, style), _BORDER, cell.colour)
    picture = Image.new("RGB", (width, framed.height + style.line), _PAPER)
    picture.paste(framed)
    middle = framed.height + style.line // 2 + 1
    ImageDraw.Draw(picture).text((0, middle), cell.caption, _INK, style.text, anchor="lm")
    if cell.colour != QUERY:
        mark = _mark(cell.colour, style.mark)
        picture.paste(mark, (width - mark.width, middle - mark.height // 2))
    return picture


def _strip(tracklet: Tracklet, style: _Style) -> Image.Image:
    """Draw frames of the tracklet side by side, each from the middle of an equal part of it."""
    size = (style.width, style.height)
    strip_width = style.frames * (style.width + _GAP) - _GAP
    strip = Image.new("RGB", (strip_width, style.height), _PAPER)
    files, pid, camid = tracklet[:3]
    paths = (files,) if isinstance(files, str) else in_time_order(files)
    shown = min(style.frames, len(paths))
    for position in range(style.frames):
        if position >= shown:
            picture = Image.new("RGB", size, _EMPTY)
        else:
            path = paths[(2 * position + 1) * len(paths) // (2 * shown)]
            try:
                frame = read_frame(path, f"pid {pid}, camid {camid}")
                picture = ImageOps.pad(frame, size, color=_EMPTY)
            except FrameError as error:
                logger.warning("drawn as a crossed-out field: %s", error)
                picture = _crossed_out(size)
        strip.paste(picture, (position * (style.width + _GAP), 0))
    return strip


def _crossed_out(size: tuple[int, int]) -> Image.Image:
    picture = Image.new("RGB", size, _EMPTY)
    right, bottom = size[0] - 1, size[1] - 1
    draw = ImageDraw.Draw(picture)
    draw.line((0, 0, right, bottom), _CROSS, 2)
    draw.line((0, bottom, right, 0), _CROSS, 2)
    return picture


def _mark(colour: tuple[int, int, int], side: int) -> Image.Image:
    """Draw a tick or a cross, since not everybody tells red from green."""
    fine = 8 * side  # drawn large and scaled down, for smooth edges
    picture = Image.new("RGB", (fine, fine), _PAPER)
    strokes = (
        [[(0.08, 0.55), (0.38, 0.85), (0.92, 0.15)]]
        if colour == RIGHT
        else [[(0.12, 0.12), (0.88, 0.88)], [(0.12, 0.88), (0.88, 0.12)]]
    )
    draw = ImageDraw.Draw(picture)
    for stroke in strokes:
        points = [(x * fine, y * fine) for x, y in stroke]
        draw.line(points, colour, width=round(0.18 * fine), joint="curve")
    return picture.resize((side, side), Image.Resampling.LANCZOS)


def _heading(title: str, subtitle: str, style: _Style) -> Image.Image:
    lines = [(title, style.large, _INK, round(1.5 * style.line))] if title else []
    lines += [(subtitle, style.text, _FAINT_INK, style.line)] if subtitle else []
    width = max((ceil(font.getlength(text)) for text, font, *_ in lines), default=0)
    picture = Image.new("RGB", (width, sum(height for *_, height in lines)), _PAPER)
    y = 0
    for text, font, ink, height in lines:
        ImageDraw.Draw(picture).text((0, y + height // 2), text, ink, font, anchor="lm")
        y += height
    return picture


def _legend(style: _Style) -> Image.Image:
    entries = (("query", QUERY), ("same person", RIGHT), ("another person", WRONG))
    side = style.line - 4
    widths = [side + style.mark + ceil(style.text.getlength(text)) for text, _ in entries]
    between = 2 * style.mark
    picture = Image.new("RGB", (sum(widths) + between * (len(widths) - 1), style.line), _PAPER)
    draw = ImageDraw.Draw(picture)
    x = 0
    for (text, colour), width in zip(entries, widths, strict=True):
        draw.rectangle((x, 2, x + side - 1, side + 1), _PAPER, colour, width=3)
        if colour != QUERY:
            mark = _mark(colour, side - 10)
            picture.paste(mark, (x + 5, 7))
        place = (x + side + style.mark // 2, style.line // 2)
        draw.text(place, text, _INK, style.text, anchor="lm")
        x += width + between
    return picture
