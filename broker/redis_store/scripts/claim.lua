-- include checks
-- include waiting
-- include birth
-- PROTOCOL 3, the claim's table: broker/scheduling/claiming.py in one atomic step.
-- ARGV: 2 generation, 3 deadline, 4 not_before or 0, 5 owner, 6 backend, 7 slot,
-- 8 dead owner to take over from or '', 9 when a missing record may be a forgotten one,
-- 10.. fields at birth, sent only after `missing`.
local EARLY_TOLERANCE_S = 0.05
local time, generation = now(), tonumber(ARGV[2])
local found = redis.call('HMGET', KEYS[1], 'status', 'generation', 'attempt', 'poison', 'owner',
  'slot', 'deadline', 'not_before', 'published', 'witnessed', 'counted', 'model', 'priority',
  'tenant', 'parked_for')
if not found[1] then
  if time >= tonumber(ARGV[9]) then
    return {'done'}
  end
  if time >= tonumber(ARGV[3]) then
    return {'late', 0}
  end
  if #ARGV < 10 then
    return {'missing'}
  end
  local born = fields_at(10, #ARGV)
  if born.batch and not (batch_status(born.batch) == 'in_progress' and is_due(born.batch, born.line)) then
    return {'done'} -- it has ended and was gathered, or nobody waits for it any more
  end
  birth(10, born)
  redis.call('HSET', KEYS[1], 'published', '1')
  check_waiting(time)
  found = {'queued', ARGV[2], false, false, false, false, ARGV[3], ARGV[4], '1', false,
    unpack(redis.call('HMGET', KEYS[1], 'counted', 'model', 'priority', 'tenant'))}
end
local status, known = found[1], tonumber(found[2] or 0)
local attempt, poison = tonumber(found[3] or 0), tonumber(found[4] or 0)
if TERMINAL[status] or generation < known then
  return {'done'}
end
if status == 'in_progress' then
  if found[5] == ARGV[5] and found[6] == ARGV[7] then
    return {'run', attempt, poison} -- the same claim again: its first answer was lost
  end
  if ARGV[8] == '' or found[5] ~= ARGV[8] then
    return {'running', found[5], attempt, generation == known and 1 or 0, poison}
  end
  if found[10] == found[3] then
    poison = poison + 1
  end
end
if time >= tonumber(found[7]) then
  return {'late', attempt}
end
if status == 'queued' then
  local start = generation > known and ARGV[4] or found[8] or '0'
  if tonumber(start) > time + EARLY_TOLERANCE_S then
    return {'early', start}
  end
end
redis.call('HSET', KEYS[1], 'status', 'in_progress', 'attempt', attempt + 1, 'owner', ARGV[5],
  'backend', ARGV[6], 'slot', ARGV[7], 'counted', '0')
if found[11] == '1' then
  count_out(found[12], found[13], found[14])
end
if found[15] then
  redis.call('HDEL', KEYS[1], 'parked_for')
end
redis.call('HSETNX', KEYS[1], 'started_at', instant(time))
if status == 'in_progress' then
  redis.call('HSET', KEYS[1], 'poison', poison)
end
if generation > known then
  redis.call('HSET', KEYS[1], 'generation', ARGV[2], 'not_before', ARGV[4])
end
if not found[9] then
  -- A delivery is the proof that a copy is confirmed.
  redis.call('HSET', KEYS[1], 'published', '1')
  redis.call('DEL', KEYS[3])
end
check_running(time)
return {'run', attempt + 1, poison}
