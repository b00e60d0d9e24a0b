"""One file a scorer; the file's name is the scorer's name."""
