"""Runs made from a configuration: training, testing, extraction, and series of trainings."""
