"""Processes that belong together: one supervisor, one log, and nothing left behind."""
