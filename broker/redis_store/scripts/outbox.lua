-- PROTOCOL 7: what a reader has not done yet. KEYS: 1 outbox, 2 its cursor. ARGV: 1 how many.
local cursor = redis.call('GET', KEYS[2])
return redis.call('XRANGE', KEYS[1], cursor and '(' .. cursor or '-', '+', 'COUNT', ARGV[1])
