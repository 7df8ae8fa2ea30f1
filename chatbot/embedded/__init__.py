"""What one machine needs to run everything without an installation: a Valkey, and `chatbot dev`."""
