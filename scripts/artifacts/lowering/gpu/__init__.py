"""Rules for GPUs: few nodes, and only operators that both CUDA and WebGPU have.

Few, because each node is a kernel launch. These operators are missing or run on the CPU: Size and
Shape (the number is read back), SpaceToDepth, Or, Sum and Scatter on WebGPU; BatchNormalization in
training mode on both. N is an input of the graph. A shape that contains N gives it as -1, the size
that the other sizes leave over.
"""
