"""Foreign clients that the tests try Penstock with."""
