-- include living
-- PROTOCOL, Time: a sign of life. ARGV: 1 owner, 2 what it serves.
local time = now()
pulse(time)
redis.call('ZADD', KEYS[1], string.format('%.3f', time), ARGV[1])
redis.call('HSET', KEYS[2], ARGV[1], ARGV[2])
local before = string.format('%.3f', time - FORGET_S)
for _, owner in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', before)) do
  redis.call('ZREM', KEYS[1], owner)
  redis.call('HDEL', KEYS[2], owner)
end
return 1
