"""What a user would otherwise do, short and plain; one file an idea."""
