"""Files of tables, lists and JSON that are read whole, from wherever a dataset came."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from nr3d.errors import DataError, reason_of
from nr3d.files.json_files import unique_keys
from nr3d.files.regular_files import NotRegularError, look, read_regular

MEBIBYTE = 2**20


def read_whole(path: Path, most: int) -> bytes:
    """Read a file whole, if it is a file and no larger than such a one can be.

    Args:
        path: the file.
        most: bytes that it may have.

    Raises:
        DataError: if it is missing, no file, larger, or cannot be read; the message says what is
            wrong only.
    """
    try:
        size = look(path).st_size
        data = read_regular(path, most) if size <= most else b""
    except FileNotFoundError:
        raise DataError(f"There is no {path}") from None
    except NotRegularError as error:
        raise DataError(f"{path} {error}") from None
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read ({reason_of(error)})") from error
    size = max(size, len(data))
    if size > most:
        raise DataError(f"{path} has {size:,} bytes, expected at most {most:,} of such a file")
    return data


def read_json(path: Path, most: int) -> Any:
    """Read a JSON file in which no key is given twice.

    Args:
        path: the file, UTF-8.
        most: bytes that it may have.

    Raises:
        DataError: if it cannot be read or is not such a file; the message says what is wrong only.
    """
    data = read_whole(path, most)
    try:
        return json.loads(data.decode("utf-8-sig"), object_pairs_hook=unique_keys)
    # Deep nesting ends the recursion; numbers of many digits are refused as values.
    except (ValueError, RecursionError, MemoryError) as error:
        raise DataError(f"{path} cannot be read as JSON ({reason_of(error)})") from error
