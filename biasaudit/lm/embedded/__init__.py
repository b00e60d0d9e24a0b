"""The small offline arms that ship with the package."""
