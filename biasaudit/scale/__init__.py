"""Work units on one process or several."""
