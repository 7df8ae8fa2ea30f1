"""`chatbot doctor`: what is wrong with a deployment or will be, each finding with its cure.

Looking (`look*.py`) makes facts (`facts.py`), and checks (`check_*.py`) are functions of facts alone.
"""
