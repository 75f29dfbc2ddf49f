-- Counts anew what is queued in a partition (scripts/waiting.lua): a worker of an older version
-- takes, puts back and ends requests without counting. KEYS: 1 open set, 2 models with something
-- waiting; the records and the hashes of counts share their hash tag. ARGV: 1 what stands before the
-- id in a record's key, 2 the most requests to look at. Answers 0 where there are more.
if redis.call('ZCARD', KEYS[1]) > tonumber(ARGV[2]) then
  return 0
end
local counts = {}
for _, id in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
  local record = ARGV[1] .. id
  local found = redis.call('HMGET', record, 'status', 'counted', 'model', 'priority', 'tenant')
  local counted = found[1] == 'queued'
  if counted then
    local of_model = counts[found[3]] or {}
    local field = found[4] .. '/' .. found[5]
    of_model[field] = (of_model[field] or 0) + 1
    counts[found[3]] = of_model
  end
  if found[1] and counted ~= (found[2] == '1') then
    redis.call('HSET', record, 'counted', counted and '1' or '0')
  end
end
for _, model in ipairs(redis.call('SMEMBERS', KEYS[2])) do
  redis.call('DEL', KEYS[2] .. ':' .. model)
end
redis.call('DEL', KEYS[2])
for model, of_model in pairs(counts) do
  redis.call('SADD', KEYS[2], model)
  for field, count in pairs(of_model) do
    redis.call('HSET', KEYS[2] .. ':' .. model, field, count)
  end
end
return 1
