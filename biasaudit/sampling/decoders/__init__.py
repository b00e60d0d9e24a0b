"""One file a way to run a model: fast loops over known weights, and general paths for every other causal model."""
