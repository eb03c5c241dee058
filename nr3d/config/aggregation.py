"""The name of an aggregation, and the keys that select it."""

from __future__ import annotations

ATTENTION = "attention"
"""The attention as published."""

LIVE_ATTENTION = "live_attention"
"""The attention of ``not3d.attention live``."""


def aggregation_of(aggregation: str, attention: str) -> str:
    """Return the name of the aggregation that keys select.

    Args:
        aggregation: value of ``not3d.aggregation``, or the network's own aggregation if that is
            ``default``.
        attention: value of ``not3d.attention``, ``paper`` or ``live``.

    Examples:
        >>> aggregation_of("attention", "live"), aggregation_of("mean", "live")
        ('live_attention', 'mean')
    """
    return LIVE_ATTENTION if (aggregation, attention) == (ATTENTION, "live") else aggregation


def keys_of(aggregation: str) -> dict[str, str]:
    """Return the keys that select an aggregation, with their values.

    Args:
        aggregation: registered name of the aggregation.

    Examples:
        >>> keys_of("live_attention")
        {'not3d.aggregation': 'attention', 'not3d.attention': 'live'}
    """
    if aggregation == LIVE_ATTENTION:
        return {"not3d.aggregation": ATTENTION, "not3d.attention": "live"}
    if aggregation == ATTENTION:
        return {"not3d.aggregation": ATTENTION, "not3d.attention": "paper"}
    return {"not3d.aggregation": aggregation}
