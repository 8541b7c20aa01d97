"""Builds the artifact folders: torchvision's networks as graphs of standard ONNX operators."""
