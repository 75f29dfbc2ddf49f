-- Makes or replaces an endpoint, or removes it, and tells every process. KEYS: 1 the endpoints.
-- ARGV: 1 channel of all, 2 id, 3 its bytes, or '' to remove it, 4 the `updated_at` it must have, ''
-- if it must not be there, 5 the tenant that must have it.
local found = redis.call('HGET', KEYS[1], ARGV[2])
if not found then
  if ARGV[3] == '' or ARGV[4] ~= '' then
    return 0
  end
else
  local kept = cmsgpack.unpack(found)
  if kept.tenant ~= ARGV[5] or ARGV[3] ~= '' and kept.updated_at ~= tonumber(ARGV[4]) then
    return 0
  end
end
if ARGV[3] == '' then
  redis.call('HDEL', KEYS[1], ARGV[2])
else
  redis.call('HSET', KEYS[1], ARGV[2], ARGV[3])
end
redis.call('PUBLISH', ARGV[1], cmsgpack.pack({'hooks'}))
return 1
