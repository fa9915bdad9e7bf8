"""Measurements of speed and accuracy; each module is run by itself."""
