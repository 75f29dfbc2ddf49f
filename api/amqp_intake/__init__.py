"""The AMQP door: what clients publish to the intake, and the replies it gives at once."""
