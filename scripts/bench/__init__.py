"""Side by side with PyTorch and onnxruntime-training: npm run bench."""
