-- include limits
-- When a new request with these limits could start. KEYS as limits.lua.
-- ARGV: 1 prefix, 2 rank, 3 packed limits, as in book.lua.
local time, rank = at_now(ARGV[1]), tonumber(ARGV[2])
local at = NOW
for _, limit in ipairs(cmsgpack.unpack(ARGV[3])) do
  local key, most, cost = limit[1], limit[2], limit[3]
  if cost then
    at = math.max(at, opens(rate_of(key), most, cost, cost_ahead(key, rank, '')))
  else
    local held = redis.call('ZCOUNT', cap_keys(key)[1], ms(time), '+inf')
    at = math.max(at, cap_opens(key, most, most - held, rank, ''))
  end
end
return exact(at)
