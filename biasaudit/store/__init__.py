"""The run folder: manifest, atomic parts, one writer, resume."""
