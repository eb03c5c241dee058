"""The version, in one place for the package, its build and its checkpoints."""

__version__ = "0.1.0"
