"""Yardsticks: PyTorch and ONNX's reference evaluator, on the same inputs as this project."""
