"""`chatbot simulate`: bursts for a running service, and a verdict on its replies."""
