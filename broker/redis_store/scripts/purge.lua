-- PROTOCOL 5: a dead letter loses its envelope. Answers 0 if there is none.
redis.call('ZREM', KEYS[10], ARGV[1])
return redis.call('DEL', KEYS[7])
