"""OpenAI's Responses dialect at the door: what is asked, and what is told of it."""
