"""Checks of assets in a child process, and their report."""
