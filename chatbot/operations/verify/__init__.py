"""`chatbot verify`: whether a running deployment keeps its promises, shown on a conversation of its own."""
