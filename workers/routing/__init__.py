"""Which target serves a request, and which replica takes the call."""
