"""Gathering images from public services: providers, HTTP client, manifest."""
