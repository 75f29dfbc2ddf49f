-- include checks
-- include waiting
-- PROTOCOL 6: in_progress -> queued by compare-and-set on the dead owner; counted as poison here,
-- if a heartbeat has seen it running, not again at the claim. ARGV: 2 dead owner.
-- Answers 1 if this call did it.
local found = redis.call('HMGET', KEYS[1], 'status', 'owner', 'attempt', 'witnessed')
if found[1] ~= 'in_progress' or found[2] ~= ARGV[2] then
  return 0
end
redis.call('HSET', KEYS[1], 'status', 'queued')
if found[4] == found[3] then
  redis.call('HINCRBY', KEYS[1], 'poison', 1)
end
redis.call('HDEL', KEYS[1], 'owner', 'backend', 'slot')
waits_again()
check_waiting(now())
return 1
