"""Number types of the features in a store."""

from __future__ import annotations

DTYPES = ("float32", "float16")
"""Types in which features can be stored."""
