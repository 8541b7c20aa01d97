"""Yardsticks: PyTorch and ONNX's reference evaluator, to compare this project with."""
