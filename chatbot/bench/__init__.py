"""The benchmarks behind `chatbot bench`: each starts its own servers, checks the answers, and reports ratios."""
