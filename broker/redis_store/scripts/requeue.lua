-- include checks
-- include waiting
-- include history
-- PROTOCOL 5, retry: the record's step after its next copy is confirmed.
-- ARGV: 2 owner, 3 attempt, 4 generation, 5 not_before or 0, 6 attempt made or ''.
-- Answers 1 if it is queued so.
local found = redis.call('HMGET', KEYS[1], 'status', 'owner', 'attempt', 'generation')
if found[3] ~= ARGV[3] then
  return 0
end
if found[1] == 'queued' and (found[4] or '0') == ARGV[4] then
  return 1 -- written before; that answer was lost
end
if found[1] ~= 'in_progress' or found[2] ~= ARGV[2] then
  return 0
end
redis.call('HSET', KEYS[1], 'status', 'queued', 'generation', ARGV[4], 'published', '1')
redis.call('HDEL', KEYS[1], 'owner', 'backend', 'slot', 'not_before', 'parked_for')
if ARGV[5] ~= '0' then
  redis.call('HSET', KEYS[1], 'not_before', ARGV[5])
end
redis.call('DEL', KEYS[3])
waits_again()
tell_attempt(ARGV[6])
check_waiting(now())
return 1
