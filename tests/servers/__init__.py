"""The real RabbitMQ and Redis that tests run against."""
