"""Servers that speak OpenAI's protocol: settings, budget, journal, answers, and the client that asks."""
