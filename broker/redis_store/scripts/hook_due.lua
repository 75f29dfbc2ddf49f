-- include hooks
-- Leases what is due, some of each line. ARGV: 2 owner, 3 length of the lease in s, 4 how many,
-- 5 how many of each line.
local limit, found = tonumber(ARGV[4]), {}
for _, receiver in ipairs(redis.call('ZRANGEBYSCORE', LINES, '-inf', exact(NOW), 'LIMIT', 0, limit)) do
  local room = math.min(tonumber(ARGV[5]), limit - #found)
  if room <= 0 then
    break
  end
  local ids = redis.call('ZRANGEBYSCORE', line_key(receiver), '-inf', exact(NOW), 'LIMIT', 0, room)
  for _, id in ipairs(ids) do
    local fields = redis.call('HGETALL', post_key(id))
    if #fields == 0 then
      redis.call('ZREM', line_key(receiver), id)
    else
      lease(id, receiver, ARGV[2], ARGV[3])
      found[#found + 1] = {id, fields}
    end
  end
  place(receiver, true)
end
return found
