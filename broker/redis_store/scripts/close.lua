-- include record
-- include waiting
-- include line
-- The end of a request (PROTOCOL 4): status, result, times to live, outbox entry, wake-up.
-- ARGV: 2 channel prefix, 3 retention in s, 4 status, 5 finished_at, 6 result.
local INLINE_BYTES = 65536
local DEAD_LETTER_S = 604800
-- What a batch has not gathered stays; should it be forgotten, nothing of it stays for ever.
local UNGATHERED_S = 2592000

local function wake(runner, holder)
  local owners = redis.call('SMEMBERS', KEYS[5])
  if runner then
    owners[#owners + 1] = runner
  end
  if holder then
    owners[#owners + 1] = holder
  end
  if #owners == 0 then
    return
  end
  local message = {'ended', ARGV[1]}
  if #ARGV[6] <= INLINE_BYTES then
    message[3] = redis.call('HGETALL', KEYS[1])
    message[4] = ARGV[6]
  end
  local packed = cmsgpack.pack(message)
  local told = {}
  for _, owner in ipairs(owners) do
    if not told[owner] then
      told[owner] = true
      redis.call('PUBLISH', ARGV[2] .. owner, packed)
    end
  end
  redis.call('DEL', KEYS[5])
end

-- It is no longer open: neither counted nor joinable. A record without a body hash was made by an
-- older version, which did not count it.
local function leave(tenant, body_hash, accepted_at, holder)
  if not body_hash then
    return
  end
  redis.call('HINCRBY', KEYS[8], tenant, -1)
  if holder then
    redis.call('ZREM', KEYS[9], joined(tenant, body_hash, accepted_at))
  end
end

-- PROTOCOL 7: tells those who act on an end. What a worker does not see to, it wakes them for, and
-- the reader of replies finds it on a stream of its own.
local function tell_outbox(how, tenant, webhook, reply_to, quiet)
  local entry = {'id', ARGV[1], 'status', ARGV[4], 'backend', how.backend or '',
    'slot', how.slot or '', 'tokens', how.tokens or '', 'tenant', tenant}
  local reply = reply_to and not how.in_hand
  if quiet then
    table.insert(entry, 'quiet')
    table.insert(entry, '1')
  end
  if webhook then
    table.insert(entry, 'webhook')
    table.insert(entry, '1')
  end
  if reply then
    table.insert(entry, 'reply')
    table.insert(entry, '1')
    redis.call('XADD', KEYS[6] .. ':replies', '*', unpack(entry))
  end
  redis.call('XADD', KEYS[6], '*', unpack(entry))
  if reply or (webhook and not how.in_hand) then
    redis.call('PUBLISH', ARGV[2] .. 'all', cmsgpack.pack({'outbox', ARGV[1]}))
  end
end

-- `how` may hold: backend, slot and tokens for the outbox, silent (no outbox entry), code, dead_letter,
-- runner (the process that must drop its call), in_hand (a worker ends it, which sees to the rest).
local function close(how)
  local time, retention = now(), tonumber(ARGV[3])
  local found = redis.call('HMGET', KEYS[1],
    'deadline', 'held_by', 'tenant', 'accepted_at', 'body_hash', 'counted', 'model', 'priority',
    'webhook', 'reply_to', 'batch', 'line', 'quiet')
  -- The record outlives its result: until the deadline a late copy could still run.
  local keep, result_kept = math.max(retention, tonumber(found[1]) - time), retention
  if how.dead_letter then
    keep = math.max(keep, DEAD_LETTER_S)
    result_kept = keep
    redis.call('SET', KEYS[7], how.dead_letter, 'PX', milliseconds(keep))
    redis.call('ZADD', KEYS[10], found[4], ARGV[1])
  end
  local batch = found[11]
  if batch and end_line(batch, found[12]) then
    keep, result_kept = keep + UNGATHERED_S, result_kept + UNGATHERED_S
  end
  leave(found[3], found[5], found[4], found[2])
  if found[6] == '1' then
    redis.call('HSET', KEYS[1], 'counted', '0')
    count_out(found[7], found[8], found[3])
  end
  redis.call('HSET', KEYS[1], 'status', ARGV[4], 'finished_at', ARGV[5],
    'expires_at', instant(time + retention))
  if how.code then
    redis.call('HSET', KEYS[1], 'code', how.code)
  end
  redis.call('HDEL', KEYS[1], 'owner', 'backend', 'slot', 'parked_for')
  redis.call('PEXPIRE', KEYS[1], milliseconds(keep))
  redis.call('SET', KEYS[4], ARGV[6], 'PX', milliseconds(result_kept))
  redis.call('ZREM', KEYS[2], ARGV[1])
  if not batch then
    -- A line never had them: its batch's input has its body.
    redis.call('PEXPIRE', KEYS[12], milliseconds(retention))
    redis.call('DEL', KEYS[3])
  end
  if not how.silent then
    tell_outbox(how, found[3], found[9], found[10], found[13])
  end
  wake(how.runner, found[2])
end
