"""Pools and their gradients."""
