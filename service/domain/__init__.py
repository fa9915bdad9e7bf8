"""Values and rules: standard library and numpy, nothing else."""
