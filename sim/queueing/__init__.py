"""Queueing models, one per file; each says what it assumes and when it lies."""
