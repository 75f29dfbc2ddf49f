-- include slots
-- PROTOCOL 3, reserve: slots for as many ids as fit, in order; an id that holds one counts.
-- ARGV: 1 limit, 2 owner, 3 pulse seen, 4.. reservation ids. Answers how many, and the pulse.
local time = now_ms()
pulse(time, ARGV[3])
local free = 0
if redis.call('EXISTS', KEYS[3]) == 0 then
  redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('(%.0f', time))
  free = tonumber(ARGV[1]) - redis.call('ZCARD', KEYS[1])
end
local granted = 0
for i = 4, #ARGV do
  if not redis.call('ZSCORE', KEYS[1], ARGV[i]) then
    if free <= 0 then
      break
    end
    free = free - 1
  end
  take(time, ARGV[i])
  granted = granted + 1
end
if granted > 0 then
  redis.call('PEXPIRE', KEYS[1], KEPT_MS)
end
if granted < #ARGV - 3 then
  redis.call('SADD', KEYS[4], ARGV[2])
  redis.call('PEXPIRE', KEYS[4], 60000)
end
return {granted, time}
