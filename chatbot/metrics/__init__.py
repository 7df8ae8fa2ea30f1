"""What the service counts and times, for Prometheus. `catalog.py` names every metric; docs/metrics.md is made of it."""
