"""Prompt batteries: YAML in, prompts and continuation pairs out, every fault with its place."""
