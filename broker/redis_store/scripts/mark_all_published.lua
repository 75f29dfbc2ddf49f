-- include checks
-- Copies of many are confirmed, as mark_published.lua notes it for one. KEYS as a birth, where a
-- request's own are given as what stands before its id. ARGV: ids and generations, alternating.
local time = now()
local checks, envelopes = {}, {}
for place = 1, #ARGV, 2 do
  local id = ARGV[place]
  local found = redis.call('HMGET', KEYS[1] .. id, 'status', 'generation', 'published', 'held_by',
    'not_before', 'accepted_at', 'deadline')
  local known = found[1] and not TERMINAL[found[1]] and not found[3]
  if known and tonumber(ARGV[place + 1]) >= tonumber(found[2] or 0) then
    redis.call('HSET', KEYS[1] .. id, 'published', '1')
    envelopes[#envelopes + 1] = KEYS[3] .. id
    if found[1] == 'queued' then
      local at = next_check(time, true, found[4], found[5] or found[6], found[7])
      checks[#checks + 1], checks[#checks + 2] = instant(at), id
    end
  end
end
if #envelopes > 0 then
  redis.call('DEL', unpack(envelopes))
end
if #checks > 0 then
  redis.call('ZADD', KEYS[2], unpack(checks))
end
return #envelopes
