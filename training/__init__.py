"""Simulator, network, training and export. Needs the extra `training`; the service does not."""
