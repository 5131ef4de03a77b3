"""Pyrometer's version, where reading it imports nothing else."""

VERSION = "0.1.0"
