"""Checks of the images: every process is started from its image, as the composition says."""
