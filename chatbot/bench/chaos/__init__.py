"""`chatbot bench chaos`: everything dies, again and again, and nothing accepted is lost, doubled or reordered."""
