-- include slots
-- PROTOCOL 4, settle, of reservations that hold nothing but a slot. ARGV: 1 channel prefix,
-- 2.. reservation ids.
pass_on(KEYS, now_ms(), redis.call('ZREM', KEYS[1], unpack(ARGV, 2)), ARGV[1])
return 1
