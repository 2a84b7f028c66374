"""Inputs that nobody should write: `python -m tests.fuzz TARGET --seconds N --seed S`."""
