"""The graphs of an artifact folder, one module per kind."""
