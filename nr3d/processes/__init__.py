"""Processes: how work is stopped, and how child processes behave."""
