"""Lines and planes cut where something switches, piece by piece, and what the pieces have to do with each other."""
