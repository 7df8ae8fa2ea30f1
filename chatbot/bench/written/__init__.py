"""What a run found, written down as pages of the documentation: the benchmarks, and what a large deployment needs."""
