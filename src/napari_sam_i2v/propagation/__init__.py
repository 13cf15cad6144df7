"""Prompts and frames in, masks out. No Qt, no files."""
