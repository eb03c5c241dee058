"""Datasets converted from a tree of folders."""
