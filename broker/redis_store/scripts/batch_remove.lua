-- include batch
-- Forgets a batch that has ended. Answers 0 if there is none such.
local found = redis.call('HMGET', BATCH, 'status', 'tenant')
if not TERMINAL[found[1]] then
  return 0
end
redis.call('DEL', BATCH, FAILED, HOLD)
redis.call('ZREM', KEYS[13], ID)
redis.call('ZREM', list_key(found[2]), ID)
return 1
