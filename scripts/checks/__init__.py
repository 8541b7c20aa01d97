"""Checks of a finished run, with other software than made it."""
