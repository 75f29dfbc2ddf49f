-- PROTOCOL 5, redrive: the dead letter names the request it was sent again as. ARGV: 2 its id.
-- Answers 0 if it names another one, or is gone.
local known = redis.call('HGET', KEYS[1], 'redriven_as')
if known then
  return known == ARGV[2] and 1 or 0
end
if redis.call('EXISTS', KEYS[1], KEYS[7]) < 2 then
  return 0
end
redis.call('HSET', KEYS[1], 'redriven_as', ARGV[2])
return 1
