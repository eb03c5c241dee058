"""The picture of a ranking, read back pixel by pixel."""

import errno
import logging
import os
import stat

import numpy as np
import pytest
from PIL import Image

from nr3d.errors import OutputError
from nr3d.report import draw_ranking, write_rankings
from nr3d.report.ranking import QUERY, RIGHT, WRONG

COLOURS = {QUERY: "query", RIGHT: "right", WRONG: "wrong"}
HEIGHT, WIDTH, BORDER, GAP = 96, 48, 4, 2
STRIP = 4 * (WIDTH + GAP) - GAP


@pytest.fixture
def make(tmp_path):
    """A maker of tracklets whose frame t is filled with the grey value shade + t."""

    def tracklet(pid, camid, shade=0, length=4, size=(WIDTH, HEIGHT)):
        paths = []
        for t in range(length):
            path = tmp_path / f"p{pid}c{camid}s{shade}f{t}.png"
            Image.new("RGB", size, (shade + t,) * 3).save(path)
            paths.append(str(path))
        return tuple(paths), pid, camid, 0

    return tracklet


def cells(picture, strip=STRIP, height=HEIGHT):
    """The frames in the picture: (x, y, what, grey values across), row by row.

    A frame is a rectangle outline of the strip's size in one of the three colours.
    """
    pixels = np.asarray(picture).astype(int)
    found = []
    for colour, what in COLOURS.items():
        hit = (pixels == colour).all(axis=2)
        padded = np.pad(hit, ((1, 0), (1, 0)))
        corners = hit & ~padded[:-1, 1:] & ~padded[1:, :-1]
        right, bottom = strip + 2 * BORDER, height + 2 * BORDER
        for y, x in np.argwhere(corners):
            box = hit[y : y + bottom, x : x + right]
            if box.shape != (bottom, right):
                continue
            edges = (box[:BORDER], box[-BORDER:], box[:, :BORDER], box[:, -BORDER:])
            if not all(edge.all() for edge in edges):
                continue
            assert not box[BORDER:-BORDER, BORDER:-BORDER].any()
            middle = pixels[y + BORDER + height // 3, x + BORDER :: WIDTH + GAP]
            found.append((int(x), int(y), what, [int(value[0]) for value in middle[:4]]))
    return sorted(found, key=lambda cell: (cell[1], cell[0]))


def rows(picture, **sizes):
    """The same as lists of (what, grey values) by row, after a check that all is aligned."""
    found = cells(picture, **sizes)
    tops = sorted({y for _, y, _, _ in found})
    lefts = sorted({x for x, _, _, _ in found})
    table = [[cell for cell in found if cell[1] == top] for top in tops]
    for row in table:
        assert [x for x, _, _, _ in row] == lefts[: len(row)]
    return [[(what, shades) for _, _, what, shades in row] for row in table]


def shades(first, count=4):
    return list(range(first, first + count))


def test_frames_are_green_where_the_person_is_right_and_red_where_not(make):
    query = [make(1, 0, 10), make(2, 0, 20)]
    gallery = [make(1, 1, 50), make(2, 1, 60), make(3, 1, 70)]
    distances = np.array([[0.2, 0.1, 0.3], [0.9, 0.5, 0.7]])
    assert rows(draw_ranking(distances, query, gallery, topk=3, title="A title")) == [
        [
            ("query", shades(10)),
            ("wrong", shades(60)),
            ("right", shades(50)),
            ("wrong", shades(70)),
        ],
        [
            ("query", shades(20)),
            ("right", shades(60)),
            ("wrong", shades(70)),
            ("wrong", shades(50)),
        ],
    ]


def test_only_the_same_person_under_the_same_camera_is_left_out(make):
    query = [make(1, 0, 10)]
    # In order of distance: same person and camera, other person, same person elsewhere.
    gallery = [make(1, 0, 50), make(2, 0, 60), make(1, 1, 70)]
    (row,) = rows(draw_ranking([[0.1, 0.2, 0.3]], query, gallery, topk=2))
    assert row == [("query", shades(10)), ("wrong", shades(60)), ("right", shades(70))]


def test_rest_of_a_row_with_fewer_candidates_stays_empty(make):
    query = [make(1, 0, 10), make(2, 0, 20)]
    gallery = [make(1, 0, 50), make(1, 0, 60), make(1, 1, 70)]
    picture = draw_ranking(np.arange(6).reshape(2, 3), query, gallery, topk=3)
    first, second = rows(picture)
    assert [what for what, _ in first] == ["query", "right"]
    assert [what for what, _ in second] == ["query", "wrong", "wrong", "wrong"]
    # Where the second row has its third match, the first has paper.
    x = cells(picture)[-1][0]
    y = cells(picture)[0][1]
    empty = picture.crop((x, y, picture.width, y + HEIGHT + 2 * BORDER + 16))
    assert empty.getcolors() == [(empty.width * empty.height, (255, 255, 255))]


def test_topk_beyond_the_gallery_makes_no_empty_columns(make):
    query, gallery = [make(1, 0)], [make(1, 1), make(2, 1)]
    wide = draw_ranking([[0.1, 0.2]], query, gallery, topk=1000)
    assert wide.size == draw_ranking([[0.1, 0.2]], query, gallery, topk=2).size


def test_tracklets_at_an_infinite_distance_were_not_ranked(make):
    query = [make(1, 0, 10), make(2, 0, 20)]
    gallery = [make(1, 0, 30), make(9, 1, 40), make(1, 1, 50), make(9, 0, 60), make(2, 1, 70)]
    dropped = [[0.1, np.inf, 0.3, np.inf, 0.2], [0.2, np.inf, 0.1, np.inf, np.inf]]
    picture = draw_ranking(dropped, query, gallery, topk=5)
    assert rows(picture) == [
        [("query", shades(10)), ("wrong", shades(70)), ("right", shades(50))],
        [("query", shades(20)), ("wrong", shades(50)), ("wrong", shades(30))],
    ]
    kept = np.isfinite(dropped[0])
    alone = draw_ranking(
        [[0.1, 0.3, 0.2], [0.2, 0.1, np.inf]],
        query,
        [one for one, left in zip(gallery, kept, strict=True) if left],
        topk=2,
    )
    assert picture.tobytes() == alone.tobytes()
    # Where nothing was ranked for a query, it stands alone.
    (row,) = rows(draw_ranking([[np.inf]], query[:1], gallery[:1]))
    assert row == [("query", shades(10))]


def test_ties_keep_the_order_of_the_gallery(make):
    # Enough tracklets that a sort which is not stable would show.
    gallery = [make(2 + i, 1, i, length=1) for i in range(100)]
    (row,) = rows(draw_ranking(np.arange(100)[None] % 2, [make(1, 0, 200)], gallery, topk=5))
    assert [values[0] for _, values in row] == [200, 0, 2, 4, 6, 8]


@pytest.mark.parametrize(
    ("length", "expected"),
    [(4, [0, 1, 2, 3]), (8, [1, 3, 5, 7]), (9, [1, 3, 5, 7]), (40, [5, 15, 25, 35])],
)
def test_strip_shows_evenly_spaced_frames_in_time_order(make, length, expected):
    paths, *labels = make(1, 0, length=length)
    shuffled = (tuple(np.random.default_rng(0).permutation(paths)), *labels)
    (row,) = rows(draw_ranking([[0.5]], [shuffled], [make(1, 1, 90)], topk=1))
    assert row[0] == ("query", expected)


def test_strip_of_a_short_tracklet_shows_every_frame_once(make):
    short, none = make(1, 1, 50, length=2), ((), 2, 1, 0)
    (row,) = rows(draw_ranking([[0.1, 0.2]], [make(1, 0, 10)], [short, none], topk=2))
    assert row[1] == ("right", [50, 51, 238, 238])
    assert row[2] == ("wrong", [238] * 4)


def test_frames_of_another_shape_are_padded_not_stretched(make):
    square = make(1, 0, 10, size=(64, 64))
    picture = draw_ranking([[0.5]], [square], [make(1, 1, 50)], topk=1)
    x, y, _, _ = cells(picture)[0]
    column = [picture.getpixel((x + BORDER + 5, y + BORDER + row))[0] for row in (4, 48, 90)]
    assert column == [238, 10, 238]


def test_frame_size_and_number_of_frames(make):
    picture = draw_ranking([[0.5]], [make(1, 0)], [make(1, 1)], frames=2, frame_size=(64, WIDTH))
    (row,) = rows(picture, strip=2 * WIDTH + GAP, height=64)
    assert [what for what, _ in row] == ["query", "right"]


def test_tuples_of_older_torchreid_and_of_image_datasets(make):
    paths, pid, camid, _ = make(1, 0, 10)
    image = make(1, 1, 50)
    picture = draw_ranking([[0.5]], [(paths, pid, camid)], [(image[0][0], 1, 1, 0)], topk=1)
    assert rows(picture) == [[("query", shades(10)), ("right", [50, 238, 238, 238])]]


@pytest.mark.parametrize("content", [None, b"", b"no image", b"\xff\xd8\xff"])
def test_unreadable_frame_is_crossed_out_and_logged(make, tmp_path, caplog, content):
    paths, *labels = make(1, 1, 50)
    broken = tmp_path / "p1c1s50f2.png"
    broken.unlink() if content is None else broken.write_bytes(content)
    with caplog.at_level(logging.WARNING):
        picture = draw_ranking([[0.5]], [make(1, 0, 10)], [(paths, *labels)], topk=1)
    (row,) = rows(picture)
    assert row[1] == ("right", [50, 51, 238, 53])
    assert [str(broken) in record.message for record in caplog.records] == [True]

    x, y, _, _ = cells(picture)[1]
    left = x + BORDER + 2 * (WIDTH + GAP)
    field = picture.crop((left, y + BORDER, left + WIDTH, y + BORDER + HEIGHT))
    # Both diagonals, from corner to corner, on grey.
    cross = [(0, 0), (WIDTH - 1, HEIGHT - 1), (0, HEIGHT - 1), (WIDTH - 1, 0), (24, 48)]
    assert {field.getpixel(point) for point in cross} == {(178, 178, 186)}
    assert {colour for _, colour in field.getcolors()} == {(178, 178, 186), (238, 238, 241)}


def test_truncated_frame_is_crossed_out(make, tmp_path):
    paths, *labels = make(1, 1, 50, size=(200, 400))
    noise = np.random.default_rng(0).integers(0, 255, (400, 200, 3), dtype=np.uint8)
    Image.fromarray(noise).save(paths[0])
    half = (tmp_path / "p1c1s50f0.png").read_bytes()[:100_000]
    (tmp_path / "p1c1s50f0.png").write_bytes(half)
    (row,) = rows(draw_ranking([[0.5]], [make(1, 0, 10)], [(paths, *labels)], topk=1))
    assert row[1] == ("right", [238, 51, 52, 53])


def test_rows_are_drawn_in_the_order_asked_for(make):
    query = [make(1, 0, 10), make(2, 0, 20), make(3, 0, 30)]
    distances = np.eye(3)
    gallery = [make(1, 1, 50), make(2, 1, 60), make(3, 1, 70)]
    table = rows(draw_ranking(distances, query, gallery, topk=1, rows=[2, 0]))
    assert table == [
        [("query", shades(30)), ("wrong", shades(50))],
        [("query", shades(10)), ("wrong", shades(60))],
    ]


@pytest.fixture
def spoken(monkeypatch):
    """Every text drawn, with what it takes of the picture it is drawn into."""
    from PIL import ImageDraw

    texts = []
    original = ImageDraw.ImageDraw.text

    def text(self, xy, text, fill=None, font=None, anchor=None, **rest):
        texts.append((text, self.textbbox(xy, text, font, anchor), self.im.size))
        return original(self, xy, text, fill, font, anchor, **rest)

    monkeypatch.setattr(ImageDraw.ImageDraw, "text", text)
    return texts


def test_captions(make, spoken):
    gallery = [make(7, 2), make(12, 0)]
    draw_ranking([[0.2134, 0.5]], [make(7, 1)], gallery, title="Title", subtitle="Subtitle")
    assert {text for text, _, _ in spoken} == {
        "Title",
        "Subtitle",
        "query",
        "same person",
        "another person",
        "query  id 7 · cam 1",
        "#1  d 0.213  id 7 · cam 2",
        "#2  d 0.500  id 12 · cam 0",
    }


@pytest.mark.parametrize(
    ("distance", "caption"),
    [
        (0, "0.00"),
        (0.2, "0.200"),
        (0.00012345, "0.000123"),
        (12.345, "12.3"),
        (123.4, "123"),
        (999.7, "1000"),
        (12345.6, "12346"),
        (-0.01, "-0.0100"),
        (np.nan, "nan"),
    ],
)
def test_distances_have_three_significant_digits(make, spoken, distance, caption):
    draw_ranking(np.array([[distance]], np.float64), [make(1, 0)], [make(1, 1)])
    assert f"#1  d {caption}  id 1 · cam 1" in {text for text, _, _ in spoken}


@pytest.mark.parametrize("frames", [1, 4])
@pytest.mark.parametrize("frame_size", [(96, 48), (256, 128), (24, 12)])
def test_no_text_is_cut_off(make, spoken, frames, frame_size):
    gallery = [make(123456, 11), make(2, 1)]
    draw_ranking(
        [[123456.7, 1.0]],
        [make(123456, 10)],
        gallery,
        frames=frames,
        frame_size=frame_size,
        title="A title that is a good deal longer than one narrow row of the ranking below it",
    )
    assert len(spoken) == 7
    for text, (left, top, right, bottom), (width, height) in spoken:
        mark = 12 if text.startswith("#") else 0  # a match's tick or cross is at the right end
        assert left >= 0
        assert top >= 0
        assert right <= width - mark
        assert bottom <= height


def test_rankings_are_written_as_pages(make, spoken, tmp_path):
    query = [make(pid, 0, 10 * pid) for pid in range(5)]
    gallery = [make(pid, 1, 100 + 10 * pid) for pid in range(5)]
    out = tmp_path / "new" / "pictures"
    paths = write_rankings(
        1 - np.eye(5), query, gallery, out, topk=2, rows_per_page=2, title="Run 1"
    )
    assert paths == [out / f"ranking_00{page}.png" for page in (1, 2, 3)]
    assert sorted(out.iterdir()) == paths  # and nothing else
    first = []
    for path in paths:
        with Image.open(path) as picture:
            assert picture.format == "PNG"
            first += [(row[0][1][0], row[1]) for row in rows(picture)]
    assert first == [(10 * pid, ("right", shades(100 + 10 * pid))) for pid in range(5)]
    said = [text for text, _, _ in spoken]
    assert said.count("Run 1") == 3
    for subtitle in (
        "queries 1 to 2 of 5 · page 1 of 3",
        "queries 3 to 4 of 5 · page 2 of 3",
        "queries 5 to 5 of 5 · page 3 of 3",
    ):
        assert subtitle in said


def test_a_place_that_cannot_be_written_is_one_line(make, tmp_path):
    in_the_way = tmp_path / "visrank_mars"
    in_the_way.write_text("a file")
    with pytest.raises(OutputError, match=r"visrank_mars.* cannot be written") as found:
        write_rankings([[0.1]], [make(1, 0)], [make(1, 1)], in_the_way)
    assert "\n" not in str(found.value)


def test_no_query_makes_no_page(make, tmp_path):
    assert write_rankings(np.zeros((0, 1)), [], [make(1, 1)], tmp_path / "out") == []


def test_pages_replace_those_of_an_earlier_run(make, tmp_path):
    query, gallery = [make(1, 0, 10)], [make(1, 1, 50), make(2, 1, 60)]
    for distances in ([[0.1, 0.2]], [[0.2, 0.1]]):
        (path,) = write_rankings(distances, query, gallery, tmp_path / "out", topk=1)
    with Image.open(path) as picture:
        assert rows(picture)[0][1] == ("wrong", shades(60))


def test_failed_write_leaves_the_earlier_page_and_no_litter(make, tmp_path, monkeypatch):
    query, gallery, out = [make(1, 0)], [make(1, 1)], tmp_path / "out"
    (path,) = write_rankings([[0.1]], query, gallery, out)
    before = path.read_bytes()

    def disk_full(self, target, *args, **kwargs):
        target.write_bytes(b"half a picture")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", disk_full)
    with pytest.raises(OSError, match="No space left"):
        write_rankings([[0.9]], query, gallery, out)
    assert path.read_bytes() == before
    assert list(out.iterdir()) == [path]


@pytest.mark.skipif(os.name != "posix", reason="POSIX permissions")
def test_pages_are_as_readable_as_any_new_file(make, tmp_path):
    (path,) = write_rankings([[0.1]], [make(1, 0)], [make(1, 1)], tmp_path / "out")
    other = tmp_path / "other"
    other.touch()
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE(other.stat().st_mode)


@pytest.mark.parametrize("shape", [(1, 3), (2, 2), (2,), (2, 1, 2)])
def test_distances_that_do_not_fit_are_refused(make, tmp_path, shape):
    query, gallery = [make(1, 0)], [make(1, 1), make(2, 1)]
    message = f"1 query and 2 gallery tracklets, got {shape}"
    with pytest.raises(ValueError) as drawn:
        draw_ranking(np.zeros(shape), query, gallery)
    with pytest.raises(ValueError) as written:
        write_rankings(np.zeros(shape), query, gallery, tmp_path / "out")
    assert message in str(drawn.value)
    assert message in str(written.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"topk": 0}, "topk must be at least 1, got 0"),
        ({"frames": 0}, "frames must be at least 1, got 0"),
        ({"frame_size": (96, 0)}, "frame_size must be at least 1, got 0"),
        ({"rows": [1]}, r"indices of the 1 queries, got \[1\]"),
        ({"rows": [-1]}, r"indices of the 1 queries, got \[-1\]"),
        ({"rows": []}, r"indices of the 1 queries, got \[\]"),
    ],
)
def test_settings_out_of_range_are_refused(make, setting, message):
    with pytest.raises(ValueError, match=message):
        draw_ranking([[0.5]], [make(1, 0)], [make(1, 1)], **setting)


@pytest.mark.parametrize("setting", ["topk", "rows_per_page"])
def test_pages_without_rows_or_columns_are_refused(make, tmp_path, setting):
    with pytest.raises(ValueError, match=f"{setting} must be at least 1, got -2"):
        write_rankings([[0.5]], [make(1, 0)], [make(1, 1)], tmp_path, **{setting: -2})
