"""One file a kind of dump; the file's name is the source's name."""
