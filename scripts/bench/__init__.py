"""Times this project, PyTorch and onnxruntime-training side by side: ``npm run bench``."""
