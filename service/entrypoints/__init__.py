"""Doors: parse, call one use case, translate the answer."""
