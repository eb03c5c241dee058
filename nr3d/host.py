"""The installed torchreid, imported once and without its warning.

Two distributions are in use. PyPI's 0.2.5 keeps its code in ``torchreid.reid`` and shows it as
attributes of ``torchreid``; upstream's 1.4.0 has it in ``torchreid`` itself. Attributes work in
both (``torchreid.data``), so nr3d never writes ``import torchreid.data``.
"""

from __future__ import annotations

import warnings

from nr3d.errors import RegistrationError

with warnings.catch_warnings():
    # Its evaluator says at every import that its Cython build is missing; nothing to act on.
    warnings.filterwarnings("ignore", message="Cython evaluation")
    # Modules written for older Pythons: escapes in docstrings and retired imports.
    warnings.filterwarnings("ignore", category=SyntaxWarning)
    warnings.filterwarnings("ignore", category=DeprecationWarning)
    import torchreid

_NEEDED = ("data", "engine", "losses", "metrics", "models", "optim", "utils")
_missing = [name for name in _NEEDED if not hasattr(torchreid, name)]
if _missing:
    raise RegistrationError(
        f"The torchreid at {getattr(torchreid, '__file__', 'an unknown place')} has no "
        f"{', '.join(_missing)}: nr3d needs PyPI's torchreid 0.2.5 or upstream's 1.4.0. "
        "Run `pip install torchreid==0.2.5`."
    )

__all__ = ["torchreid"]
