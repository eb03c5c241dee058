"""The installed torchreid, imported when it is first used and without its warnings.

Two distributions are in use. PyPI's 0.2.5 keeps its code in ``torchreid.reid`` and re-exports it as
attributes of ``torchreid``; upstream's 1.4.0 has it in ``torchreid`` itself. Attributes work in
both (``torchreid.data``), so nr3d never writes ``import torchreid.data``.

Attributes:
    torchreid: The package; importing this name imports torchreid.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from nr3d.errors import RegistrationError

if TYPE_CHECKING:
    import torchreid

__all__ = ["quiet", "torchreid"]

_NEEDED = ("data", "engine", "losses", "metrics", "models", "optim", "utils")


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Suppress the warnings that importing torchreid raises and nobody can act on."""
    with warnings.catch_warnings():
        # Its evaluator reports at every import that its Cython build is missing.
        warnings.filterwarnings("ignore", message="Cython evaluation")
        # Modules written for older Pythons: escapes in docstrings and retired imports.
        warnings.filterwarnings("ignore", category=SyntaxWarning)
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        yield


def __getattr__(name: str) -> Any:
    if name != "torchreid":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    with quiet():
        import torchreid
    missing = [part for part in _NEEDED if not hasattr(torchreid, part)]
    if missing:
        raise RegistrationError(
            f"The torchreid at {getattr(torchreid, '__file__', 'an unknown place')} has no "
            f"{', '.join(missing)}: nr3d needs PyPI's torchreid 0.2.5 or upstream's 1.4.0. "
            "Run `pip install torchreid==0.2.5`."
        )
    globals()["torchreid"] = torchreid
    return torchreid
