"""Completions that somebody else sampled: files of several kinds as one Arrow table, and what answers from it."""
