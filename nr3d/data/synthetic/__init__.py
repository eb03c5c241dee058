"""Synthetic people on synthetic cameras: a re-identification dataset that needs no download."""

from __future__ import annotations

from nr3d.data.synthetic.mars import GENERATOR_VERSION, SyntheticSummary, write_mars

__all__ = ["GENERATOR_VERSION", "SyntheticSummary", "write_mars"]
