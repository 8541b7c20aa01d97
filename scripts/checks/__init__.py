"""Checks of a run, made with other software than this project."""
