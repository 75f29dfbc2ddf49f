-- include hooks
-- One step of a tenant's list, newest first, of bounded work. ARGV: 2 tenant, 3 created_at and 4 id
-- of the place to go on behind, 5 the created_at where the list ends, 6 how many to find, 7 how many
-- to look at, 8 endpoint, 9 request, 10 state, each or ''. Answers what it found, without the event,
-- and where it stopped: nothing at the end of the list.
local key, last = PREFIX .. 'of:' .. ARGV[2], tonumber(ARGV[5])
local wanted, most = tonumber(ARGV[6]), tonumber(ARGV[7])

-- The rank of the first entry behind the place, which need not be one of ours.
local function first()
  local added = redis.call('ZADD', key, 'NX', ARGV[3], ARGV[4])
  local rank = redis.call('ZREVRANK', key, ARGV[4])
  if added == 1 then
    redis.call('ZREM', key, ARGV[4])
    return rank
  end
  return rank + 1
end

local function fits(id)
  local found = redis.call('HMGET', post_key(id), 'endpoint', 'request_id', 'state')
  return (ARGV[8] == '' or found[1] == ARGV[8])
    and (ARGV[9] == '' or found[2] == ARGV[9])
    and (ARGV[10] == '' or found[3] == ARGV[10])
end

local function without_event(id)
  local told = {}
  for _, name in ipairs(redis.call('HKEYS', post_key(id))) do
    if name ~= 'event' then
      told[#told + 1] = name
      told[#told + 1] = redis.call('HGET', post_key(id), name)
    end
  end
  return told
end

local from, matches = first(), {}
local entries = redis.call('ZREVRANGE', key, from, from + most - 1, 'WITHSCORES')
for at = 1, #entries, 2 do
  local id, score = entries[at], entries[at + 1]
  if tonumber(score) <= last then
    break
  end
  if fits(id) then
    matches[#matches + 1] = {id, without_event(id)}
  end
  if #matches == wanted or at + 1 == 2 * most then
    return {matches, {score, id}}
  end
end
return {matches, false}
