"""`penstock batch`: from a file of lines to the file of their results."""
