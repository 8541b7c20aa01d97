"""The forward graph of a network: exported, simplified, with its head found.

``prepare(module_or_proto, input_size)`` is the way in; passes with their rules are in the files.
"""

from scripts.artifacts.forward.export import export_forward
from scripts.artifacts.forward.prepare import Prepared, prepare

__all__ = ["Prepared", "export_forward", "prepare"]
