-- include view
-- PROTOCOL 4: reads the record and, while it is open, notes which process to wake at its end.
-- ARGV: 2 owner. A registration is renewed by every look, and forgotten a minute after the last.
local seen = view()
if seen then
  local found = redis.call('HMGET', KEYS[1], 'status', 'held_by')
  if not TERMINAL[found[1]] and found[2] ~= ARGV[2] then
    redis.call('SADD', KEYS[5], ARGV[2])
    redis.call('PEXPIRE', KEYS[5], 60000)
  end
end
return seen
