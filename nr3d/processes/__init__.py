"""Processes: how they are stopped, and those that work for another one."""
