"""The statistics of an audit: contrasts, intervals, permutation tests, multiplicity, power."""
