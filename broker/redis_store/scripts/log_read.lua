-- include log
-- PROTOCOL 7: what follows an event, as {number of the first, chunk, chunk...}; nothing if there is
-- none. ARGV: 2 number of the event, 3 most bytes, 4 a process that listens from now on or '',
-- 5 ms for which it does.
local STEP = 64
if ARGV[4] ~= '' then
  local time = redis.call('TIME')
  redis.call('ZADD', KEYS[3], time[1] * 1000 + math.floor(time[2] / 1000) + ARGV[5], ARGV[4])
  redis.call('PEXPIRE', KEYS[3], ARGV[5])
end
local first = tonumber(redis.call('HGET', KEYS[1], 'first'))
if not first then
  return {}
end
local at, size = math.max(0, ARGV[2] + 1 - first), 0
local found = {first + at}
while size < tonumber(ARGV[3]) do
  local step = redis.call('LRANGE', KEYS[2], at, at + STEP - 1)
  for _, chunk in ipairs(step) do
    if size < tonumber(ARGV[3]) then
      found[#found + 1] = chunk
      size = size + #chunk
    end
  end
  if #step < STEP then
    break
  end
  at = at + STEP
end
return #found > 1 and found or {}
