"""Composition roots: nothing else builds adapters."""
