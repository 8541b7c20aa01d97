"""Build side: turns torchvision networks into training graphs for stock ONNX Runtime."""
