"""What the outside reaches over HTTP: webhooks, probes, and the pages of the service."""
