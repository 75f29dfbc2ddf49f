"""Responses over a backend that speaks chat, and over one that speaks Responses itself."""
