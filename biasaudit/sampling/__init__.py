"""Completions and likelihoods from one arm: keyed noise, truncation, the decode loop."""
