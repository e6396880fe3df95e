"""Convex sets given by halfspaces: facets, inner balls, chords, and the linear programs that find them."""
