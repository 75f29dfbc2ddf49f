-- include slots
-- PROTOCOL 3: these slots are still in use, also those whose lease ran out while nobody could say
-- so. ARGV: 1 pulse seen, 2.. reservation ids. Answers the pulse.
local time = now_ms()
pulse(time, ARGV[1])
for i = 2, #ARGV do
  take(time, ARGV[i])
end
redis.call('PEXPIRE', KEYS[1], KEPT_MS)
return time
