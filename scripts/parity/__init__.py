"""Side by side: PyTorch with torchvision, and this project's own compiled driver."""
