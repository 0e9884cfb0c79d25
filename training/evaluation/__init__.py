"""Metrics, protocols, tables and figures of evaluation; nothing here needs a network."""
