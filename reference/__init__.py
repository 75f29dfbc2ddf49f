"""The pages and diagrams of docs/ that are made from the code: `python -m reference`."""
