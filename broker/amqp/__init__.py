"""The queue port on RabbitMQ; the only room that imports aio-pika and its parts."""
