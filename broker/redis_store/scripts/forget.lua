-- include record
-- An ended request is read no more: only its tombstone stays. Answers 1 if it could be read.
local found = redis.call('HMGET', KEYS[1], 'status', 'expires_at', 'batch')
if not TERMINAL[found[1]] or now() >= tonumber(found[2]) then
  return 0
end
redis.call('HSET', KEYS[1], 'expires_at', instant(now()))
if not found[3] then -- a batch may still have to gather its line
  redis.call('DEL', KEYS[4], KEYS[7], KEYS[12])
  redis.call('ZREM', KEYS[10], ARGV[1])
end
return 1
