"""How many small models are trained as one: who goes with whom, where their numbers lie, and the steps."""
