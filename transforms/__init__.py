"""Beam stages in the order of the data flow, and the pure kernels that they call."""
