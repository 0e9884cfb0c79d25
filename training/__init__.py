"""Teaches the networks and judges them."""
