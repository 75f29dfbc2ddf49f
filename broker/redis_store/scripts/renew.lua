-- include slots
-- PROTOCOL 3: these are still in use, also those whose lease ran out while nobody could say so.
-- KEYS as slots.lua; 6 the holders under the cap beside live ones, if these are under one, which
-- never takes away what was given. ARGV: 1 pulse seen, 2 limit, 3.. reservation ids. Answers the
-- pulse, and the ids that are lost: their lease ran out, and others have taken the room since.
local time = now_ms()
pulse(KEYS, time, ARGV[1])
local all, answer = paused(KEYS), {time}
for i = 3, #ARGV do
  local held = all or redis.call('ZSCORE', KEYS[1], ARGV[i])
  if held or free_of(KEYS, time, tonumber(ARGV[2])) > 0 then
    redis.call('ZADD', KEYS[1], ms(time + LEASE_MS), ARGV[i])
    if KEYS[6] then
      redis.call('ZADD', KEYS[6], ms(time + LEASE_MS), ARGV[i])
    end
  else
    answer[#answer + 1] = ARGV[i]
  end
end
redis.call('PEXPIRE', KEYS[1], KEPT_MS)
return answer
