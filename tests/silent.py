"""A child process that takes whatever it is given and never answers."""

import sys

if __name__ == "__main__":
    while sys.stdin.buffer.read(1):
        pass
