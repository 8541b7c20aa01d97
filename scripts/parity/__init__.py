"""Compares this project's TypeScript program with PyTorch and torchvision, side by side."""
