-- include checks
-- PROTOCOL 3: the record's step after the copy of a parked request is confirmed.
-- ARGV: 2 generation, 3 not_before, 4 what it waits for. Answers 1 if the record is queued.
local found = redis.call('HMGET', KEYS[1], 'status', 'generation')
if found[1] ~= 'queued' then
  return 0
end
if tonumber(found[2] or 0) <= tonumber(ARGV[2]) then
  redis.call('HSET', KEYS[1], 'generation', ARGV[2], 'not_before', ARGV[3], 'parked_for', ARGV[4],
    'published', '1')
  redis.call('DEL', KEYS[3])
  check_waiting(now())
end
return 1
