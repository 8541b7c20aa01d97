"""Activations that ONNX lacks, and the gradients of all activations."""
