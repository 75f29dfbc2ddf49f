"""Where bytes lie that are too large for records and messages: a directory, or S3."""
