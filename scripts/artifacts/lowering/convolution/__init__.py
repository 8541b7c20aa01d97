"""The convolution and its gradients.

Y[n, o, p, q] = sum_{c, i, j} X[n, c, s p + d i - pad, s q + d j - pad] W[o, c, i, j]
for stride s and dilation d. Both gradients are sums over the same pairs of indices.
"""
