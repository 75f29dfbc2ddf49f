-- Writes one key of each type that the other scripts use, and takes it back. ARGV: 1 channel.
-- KEYS: 1 string, 2 hash, 3 set, 4 zset, 5 stream, 6 list.
redis.call('SET', KEYS[1], '1', 'PX', 1000)
redis.call('HSET', KEYS[2], 'probe', '1')
redis.call('SADD', KEYS[3], 'probe')
redis.call('ZADD', KEYS[4], 1, 'probe')
redis.call('XADD', KEYS[5], '*', 'probe', '1')
redis.call('LPUSH', KEYS[6], 'probe')
redis.call('DEL', unpack(KEYS))
return redis.call('PUBLISH', ARGV[1], 'probe')
