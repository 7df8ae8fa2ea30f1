"""One reply per burst and one effect per message."""
