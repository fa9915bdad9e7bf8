"""Alembic's steps from an empty job database to the present one."""
