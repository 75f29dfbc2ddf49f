"""The AsyncAPI document of the AMQP door."""
