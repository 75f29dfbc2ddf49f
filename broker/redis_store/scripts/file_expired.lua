-- include clock
-- The files past their retention that nobody has deleted. KEYS: 1 as file.lua. ARGV: 1 how many.
return redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', instant(now()), 'LIMIT', 0, ARGV[1])
