"""Patterns of exporters, each replaced by what it means."""
