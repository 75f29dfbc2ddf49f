-- include living
-- Seconds since a process was last heard of, or nothing when it is dead. ARGV: 1 owner.
local time = now()
pulse(time)
local last = redis.call('ZSCORE', KEYS[1], ARGV[1])
if not last then
  return false
end
local age = time - tonumber(last)
if age >= BEAT_S and redis.call('EXISTS', KEYS[4]) == 0 then
  return false
end
return string.format('%.3f', math.max(age, 0))
