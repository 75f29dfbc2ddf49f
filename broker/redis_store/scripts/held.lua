-- include slots
-- How many slots are held (PROTOCOL 3).
return redis.call('ZCOUNT', KEYS[1], string.format('%.0f', now_ms()), '+inf')
