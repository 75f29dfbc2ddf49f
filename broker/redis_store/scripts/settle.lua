-- include limits
-- PROTOCOL 4, settle: gives back what reservations hold, and keeps it for who waits. KEYS as
-- slots.lua, then as limits.lua. ARGV: 1 prefix, 2 channel prefix, 3 'settle' or 'refund',
-- 4.. reservation ids, each with the tokens it used or ''.
local time = at_now(ARGV[1])
local ids = {}
for i = 4, #ARGV, 2 do
  ids[#ids + 1] = ARGV[i]
end
pass_on(KEYS, time, redis.call('ZREM', KEYS[1], unpack(ids)), ARGV[2])

local function true_up(limit, at, tokens)
  local key, per_minute, cost, counts_tokens = limit[1], limit[2], limit[3], limit[4]
  if ARGV[3] == 'refund' then
    give_back(key, per_minute, cost, at)
  elseif counts_tokens and tokens and tokens > cost then
    charge(key, per_minute, tokens - cost)
  elseif counts_tokens and tokens then
    give_back(key, per_minute, cost - tokens, at)
  end
end

for place, packed in ipairs(redis.call('HMGET', RESERVED, unpack(ids))) do
  if packed then
    local taken, tokens = cmsgpack.unpack(packed), tonumber(ARGV[3 + place * 2])
    redis.call('HDEL', RESERVED, ids[place])
    for _, key in ipairs(taken.caps) do
      local k = cap_keys(key)
      local freed = redis.call('ZREM', k[1], ids[place])
      if freed > 0 and ARGV[3] == 'settle' then
        note_hold(key, NOW - taken.at)
      end
      pass_on(k, time, freed, ARGV[2])
    end
    for _, limit in ipairs(taken.rates) do
      true_up(limit, taken.at, tokens)
    end
  end
end
save_rates()
return 1
