"""The published methods side by side: what they cost, what was reported, and what is measured."""

from nr3d.zoo.costs import Costs, costs_of
from nr3d.zoo.measuring import Measured, measure
from nr3d.zoo.methods import Method, Reported, method_of, methods
from nr3d.zoo.table import Row, as_html, as_mapping, as_markdown, rows_of, trained_as_markdown
from nr3d.zoo.trainings import Trained, plan_of, train_all

__all__ = [
    "Costs",
    "Measured",
    "Method",
    "Reported",
    "Row",
    "Trained",
    "as_html",
    "as_mapping",
    "as_markdown",
    "costs_of",
    "measure",
    "method_of",
    "methods",
    "plan_of",
    "rows_of",
    "train_all",
    "trained_as_markdown",
]
