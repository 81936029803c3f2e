"""Judges: networks that look at a picture and say what it shows."""
