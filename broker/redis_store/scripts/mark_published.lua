-- include checks
-- PROTOCOL 1: a copy is confirmed, so the body lives once, in RabbitMQ.
-- ARGV: 2 generation of that copy. A copy older than the record's would never run.
local found = redis.call('HMGET', KEYS[1], 'status', 'generation', 'published')
if not found[1] or TERMINAL[found[1]] or found[3]
    or tonumber(ARGV[2]) < tonumber(found[2] or 0) then
  return 0
end
redis.call('HSET', KEYS[1], 'published', '1')
redis.call('DEL', KEYS[3])
if found[1] == 'queued' then
  check_waiting(now())
end
return 1
