"""Files: how they are uploaded, and how their bytes are told."""
