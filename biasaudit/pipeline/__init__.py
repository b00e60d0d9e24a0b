"""One module a stage; the only rooms that know all wings."""
