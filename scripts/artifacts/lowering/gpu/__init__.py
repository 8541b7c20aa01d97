"""Rules for GPUs: few nodes, since each is a launch, and only operators that CUDA and WebGPU have.

What they lack or compute on the CPU: Size and Shape (a number read back), SpaceToDepth, Or, Sum and
Scatter on WebGPU; BatchNormalization in training mode on both. N is an input of the graph; where it
is needed as a shape, it is what the other sizes leave over.
"""
