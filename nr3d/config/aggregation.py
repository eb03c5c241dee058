"""The name of an aggregation, and the keys that select it."""

from __future__ import annotations

ATTENTION_FORMS = {"paper": "attention", "live": "live_attention"}
"""Names of the aggregations that are forms of the attention, by the value of ``not3d.attention``.
In ``model.aggregation``, the first of them stands for all."""

ATTENTION, LIVE_ATTENTION = ATTENTION_FORMS["paper"], ATTENTION_FORMS["live"]


def aggregation_of(aggregation: str, attention: str) -> str:
    """Return the name of the aggregation that keys select.

    Args:
        aggregation: value of ``model.aggregation``, or the network's own aggregation if that is
            ``default``.
        attention: value of ``not3d.attention``, ``paper`` or ``live``.

    Examples:
        >>> aggregation_of("attention", "live"), aggregation_of("mean", "live")
        ('live_attention', 'mean')
    """
    return ATTENTION_FORMS[attention] if aggregation == ATTENTION else aggregation


def keys_of(aggregation: str) -> dict[str, str]:
    """Return the keys that select an aggregation, with their values.

    Args:
        aggregation: registered name of the aggregation.

    Examples:
        >>> keys_of("live_attention")
        {'model.aggregation': 'attention', 'not3d.attention': 'live'}
        >>> keys_of("mean")
        {'model.aggregation': 'mean'}
    """
    for form, name in ATTENTION_FORMS.items():
        if aggregation == name:
            return {"model.aggregation": ATTENTION, "not3d.attention": form}
    return {"model.aggregation": aggregation}
