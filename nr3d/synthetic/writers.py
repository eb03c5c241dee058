"""The functions that draw a dataset, by the dataset whose layout they use."""

from __future__ import annotations

from collections.abc import Callable

from nr3d.synthetic.ilidsvid import write_ilidsvid
from nr3d.synthetic.layout import SyntheticSummary
from nr3d.synthetic.mars import write_mars
from nr3d.synthetic.prid2011 import write_prid2011
from nr3d.synthetic.settings import DATASETS

WRITERS: dict[str, Callable[..., SyntheticSummary]] = dict(
    zip(DATASETS, (write_mars, write_prid2011, write_ilidsvid), strict=True)
)
"""Functions that draw a dataset, by torchreid's name of the dataset whose layout they use."""
