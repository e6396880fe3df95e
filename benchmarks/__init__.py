"""Measurements of actscope against what it replaces; see run.py."""
