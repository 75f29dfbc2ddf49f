-- include line
-- The batches of a tenant that have not ended. ARGV: 1 tenant.
local running = {}
for _, id in ipairs(redis.call('ZRANGE', KEYS[13], 0, -1)) do
  local found = redis.call('HMGET', batch_key(id), 'tenant', 'status')
  if found[1] == ARGV[1] and not TERMINAL[found[2]] then
    running[#running + 1] = redis.call('HGETALL', batch_key(id))
  end
end
return running
