"""One offline HTML page from an analysis and its completions."""
