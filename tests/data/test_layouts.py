"""The datasets that nr3d reads itself."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from nr3d.checking import check_dataset
from nr3d.data.layouts import LAYOUTS, read_tracklets
from nr3d.errors import DataError


def test_data_needs_none_of_the_rooms_above_it() -> None:
    program = (
        "import sys, types, importlib.util\n"
        "package = types.ModuleType('nr3d')\n"
        "package.__path__ = importlib.util.find_spec('nr3d').submodule_search_locations\n"
        "sys.modules['nr3d'] = package\n"
        "import nr3d.data\n"
        "for name in nr3d.data.__all__: getattr(nr3d.data, name)\n"
        "print(*sorted({name.split('.')[1] for name in sys.modules if name.startswith('nr3d.')}))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    below = {"data", "errors", "files", "host", "lazy", "parallel", "processes"}
    below |= {"registry", "version"}
    assert {"data", "errors"} <= set(done.stdout.split()) <= below


@pytest.mark.parametrize("name", LAYOUTS)
def test_what_cannot_be_read_is_refused_in_the_words_of_the_check(
    name: str, tmp_path: Path
) -> None:
    found = check_dataset(name, tmp_path).of("error")[0]
    with pytest.raises(DataError) as refused:
        read_tracklets(name, tmp_path, 0)
    assert found.what in str(refused.value)
    assert str(refused.value).endswith(found.remedy)
