-- PROTOCOL 3: a heartbeat of the owner has seen this attempt running; only then does the owner's
-- death count as poison. ARGV: 2 owner. Answers the status.
local found = redis.call('HMGET', KEYS[1], 'status', 'owner', 'attempt', 'witnessed')
if found[1] == 'in_progress' and found[2] == ARGV[2] and found[4] ~= found[3] then
  redis.call('HSET', KEYS[1], 'witnessed', found[3])
end
return found[1]
