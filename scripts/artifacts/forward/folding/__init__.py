"""Constants, shapes and integers of a forward graph, computed once."""
