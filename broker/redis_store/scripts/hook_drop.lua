-- include hooks
-- Settles some of what waits for a receiver that is gone. ARGV: 2 receiver, 3 how many, 4 how many
-- settled deliveries of a tenant are kept. Answers how many there were.
local ids = redis.call('ZRANGE', line_key(ARGV[2]), 0, tonumber(ARGV[3]) - 1)
for _, id in ipairs(ids) do
  local tenant = redis.call('HGET', post_key(id), 'tenant')
  if tenant then
    settle(id, tenant, ARGV[2], 'dropped', ARGV[4])
  else
    redis.call('ZREM', line_key(ARGV[2]), id)
  end
end
place(ARGV[2])
return #ids
