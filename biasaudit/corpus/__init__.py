"""Messy dumps in, cleaned documents and token shards out."""
