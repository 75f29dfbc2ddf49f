-- Sets a switch and tells every process. KEYS: 1 the states. ARGV: 1 channel of all, 2 field,
-- 3 state, or '' for running.
if ARGV[3] == '' then
  redis.call('HDEL', KEYS[1], ARGV[2])
else
  redis.call('HSET', KEYS[1], ARGV[2], ARGV[3])
end
redis.call('PUBLISH', ARGV[1], cmsgpack.pack({'switched'}))
return 1
