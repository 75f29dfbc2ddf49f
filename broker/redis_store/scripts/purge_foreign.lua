-- Drops the messages that are not ours and answers how many there were. KEYS: 1 their list.
local count = redis.call('LLEN', KEYS[1])
redis.call('DEL', KEYS[1])
return count
