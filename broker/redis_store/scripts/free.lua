-- PROTOCOL 4, settle: frees slots and wakes who wants one. KEYS as slots.lua.
-- ARGV: 1 channel prefix, 2 backend, 3.. reservation ids.
redis.call('ZREM', KEYS[1], unpack(ARGV, 3))
local owners = redis.call('SMEMBERS', KEYS[4])
if #owners > 0 then
  local packed = cmsgpack.pack({'free', ARGV[2]})
  for _, owner in ipairs(owners) do
    redis.call('PUBLISH', ARGV[1] .. owner, packed)
  end
  redis.call('DEL', KEYS[4])
end
return 1
