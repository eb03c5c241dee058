"""Foreign text in messages."""

from __future__ import annotations

import pytest

from nr3d.errors import printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Not Found", "Not Found"),
        ("  two\r\nlines \x1b[31m", "two lines [31m"),
        ("right\u202eto left \udc80", "right to left"),
        ("x" * 300, "x" * 200 + "…"),
        ("", ""),
    ],
)
def test_foreign_text_is_one_line_without_control_characters(text: str, shown: str) -> None:
    assert printable(text) == shown
