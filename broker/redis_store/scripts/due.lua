-- PROTOCOL 6: the open records whose check has come. KEYS: 1 open set. ARGV: 1 how many,
-- 2 what stands before the id in a record's key: those keys share the hash tag of KEYS[1].
local time = redis.call('TIME')
local now = time[1] .. '.' .. string.format('%06d', tonumber(time[2]))
local due = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, ARGV[1])
local records = {}
for _, id in ipairs(due) do
  local fields = redis.call('HGETALL', ARGV[2] .. id)
  if #fields == 0 then
    redis.call('ZREM', KEYS[1], id)
  else
    records[#records + 1] = {id, fields}
  end
end
return records
