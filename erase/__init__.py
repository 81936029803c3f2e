"""Erase concepts from text-to-image diffusion models, and prove that they are gone."""
