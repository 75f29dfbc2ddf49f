"""The OpenAPI document: a table of operations, their examples, and what makes one of them."""
