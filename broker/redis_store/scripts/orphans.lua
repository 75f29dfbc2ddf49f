-- include limits
-- PROTOCOL 6: reservations whose lease has been over for as long as it lasts; what they were charged
-- stays until somebody resolves them. KEYS as limits.lua. ARGV: 1 prefix, 2 cursor, 3 how many to
-- look at. Answers the next cursor, then the backend, id and request of each.
local time = at_now(ARGV[1])
lapse()
save_rates()
local found = redis.call('HSCAN', RESERVED, ARGV[2], 'COUNT', ARGV[3])
local answer = {found[1]}
for i = 1, #found[2], 2 do
  local id, taken = found[2][i], cmsgpack.unpack(found[2][i + 1])
  local k = cap_keys(taken.backend)
  local until_ms = tonumber(redis.call('ZSCORE', k[1], id) or 0)
  if until_ms + LEASE_MS < time and taken.at * 1000 + 2 * LEASE_MS < time and not paused(k) then
    answer[#answer + 1] = {taken.backend, id, taken.request}
  end
end
return answer
