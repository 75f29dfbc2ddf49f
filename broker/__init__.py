"""The only code that knows RabbitMQ, Redis and SQLite; everything else speaks to its ports."""
