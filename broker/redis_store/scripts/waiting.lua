-- Part of the scripts that let a request come to wait, or wait no more: how many are queued, by
-- model, class and tenant. The field `counted` says whether this one is among them, so that a step
-- of an older version, which knows nothing of it, is made good by the next of ours.
local function count_in(model, priority, tenant, number)
  local counts, field = KEYS[11] .. ':' .. model, priority .. '/' .. tenant
  if redis.call('HINCRBY', counts, field, number) == number then
    redis.call('SADD', KEYS[11], model)
  end
end

local function count_out(model, priority, tenant)
  local counts, field = KEYS[11] .. ':' .. model, priority .. '/' .. tenant
  if redis.call('HINCRBY', counts, field, -1) <= 0 then
    redis.call('HDEL', counts, field)
  end
end

-- It is queued again; the caller has said so in the record.
local function waits_again()
  local found = redis.call('HMGET', KEYS[1], 'counted', 'model', 'priority', 'tenant')
  if found[1] ~= '1' then
    redis.call('HSET', KEYS[1], 'counted', '1')
    count_in(found[2], found[3], found[4], 1)
  end
end
