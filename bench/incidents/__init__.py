"""Simulated histories of agents at work: incidents that must be seen, and ordinary life in which nothing may be."""
