-- include hooks
-- Makes deliveries due now, unless they are leased. ARGV: 2 tenant, 3.. ids. Answers how many the
-- tenant has.
local count = 0
for at = 3, #ARGV do
  local id = ARGV[at]
  local found = redis.call('HMGET', post_key(id), 'tenant', 'receiver', 'leased_until')
  if found[1] == ARGV[2] then
    count = count + 1
    if not found[3] or tonumber(found[3]) <= NOW then
      redis.call('HSET', post_key(id), 'state', 'pending', 'tried', 0)
      redis.call('ZREM', settled_key(ARGV[2]), id)
      free(id, found[2], exact(NOW))
      place(found[2])
    end
  end
end
return count
