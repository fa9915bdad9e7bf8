"""Thrombolens: brain MR study in, thrombus segmentation and report out. Research use only."""

__version__ = "0.1.0"
