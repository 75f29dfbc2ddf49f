"""OpenAI's Responses dialect: what may be asked over a chat backend, and what is told of it."""
