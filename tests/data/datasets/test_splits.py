"""Files of splits are read, and unusable ones are refused with what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from nr3d.data.datasets.splits import SPLIT_FILES, read_splits
from nr3d.errors import ConfigError, DataError


@pytest.mark.parametrize(
    ("name", "damage", "message"),
    [
        ("prid2011", None, "There is no {path}. Make it: nr3d data splits prid2011 --root {root}"),
        ("prid2011", "[", r"{path} cannot be read as JSON .*--seed 0 --replace"),
        ("prid2011", "[]", "{path} does not hold a list of splits, each with .*--replace"),
        ("prid2011", '[{"train": ["a"]}]', "does not hold a list of splits"),
        ("prid2011", '[{"train": [1], "test": ["b"]}]', "does not hold a list of splits"),
        ("ilidsvid", None, "There is no {path}. Load the dataset: torchreid makes it from"),
        ("ilidsvid", "{", r"{path} cannot be read as JSON .* Delete it: torchreid makes it from"),
    ],
)
def test_unusable_files_name_themselves_and_the_mend(
    name: str, damage: str | None, message: str, tmp_path: Path
) -> None:
    path = tmp_path / SPLIT_FILES[name]
    path.parent.mkdir()
    if damage is not None:
        path.write_text(damage)
    with pytest.raises(DataError, match=message.format(path=path, root=tmp_path)):
        read_splits(name, tmp_path)


def test_mars_has_no_splits(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="'mars' has no splits to choose from, expected one of"):
        read_splits("mars", tmp_path)
