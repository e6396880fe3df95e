"""`python -m actscope` is the command line `actscope`."""

from actscope.cli import main

if __name__ == "__main__":
    main()
