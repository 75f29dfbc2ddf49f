-- include checks
-- include history
-- PROTOCOL 3, call: an immediate second try is written before it is called.
-- ARGV: 2 owner, 3 attempt, 4 backend, 5 slot, 6 attempt made or ''. Answers 1 if the request is still this owner's.
local found = redis.call('HMGET', KEYS[1], 'status', 'owner', 'attempt', 'slot')
if found[1] ~= 'in_progress' or found[2] ~= ARGV[2] then
  return 0
end
local attempt, current = tonumber(ARGV[3]), tonumber(found[3])
if current == attempt + 1 and found[4] == ARGV[5] then
  return 1 -- written before; that answer was lost
end
if current ~= attempt then
  return 0
end
redis.call('HSET', KEYS[1], 'attempt', attempt + 1, 'backend', ARGV[4], 'slot', ARGV[5])
tell_attempt(ARGV[6])
check_running(now())
return 1
