"""Boards: tasks in columns, and where in them."""
