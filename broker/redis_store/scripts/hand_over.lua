-- include view
-- PROTOCOL 5: another process holds an open request from now on, if any does; answers the record.
-- ARGV: 2 the new holder.
local found = redis.call('HMGET', KEYS[1], 'status', 'held_by')
if not found[1] or TERMINAL[found[1]] then
  return false
end
if found[2] and found[2] ~= ARGV[2] then
  redis.call('HSET', KEYS[1], 'held_by', ARGV[2])
  -- The one before may still wait for the end; as holder it had not asked to be woken.
  redis.call('SADD', KEYS[5], found[2])
  redis.call('PEXPIRE', KEYS[5], 60000)
end
return view()
