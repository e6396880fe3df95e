"""Drawing with matplotlib: arrays in, axes out."""
