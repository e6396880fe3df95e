"""A model read as a program of affine steps, activations and choices, and run on points and directions."""
