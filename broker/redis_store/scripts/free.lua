-- include slots
-- PROTOCOL 4, settle, of reservations that hold nothing but a slot. KEYS as slots.lua, then as that
-- for the cap beside live ones, if they are under one. ARGV: 1 channel prefix, 2.. reservation ids.
local time = now_ms()
for first = 1, #KEYS, 5 do
  local k = {unpack(KEYS, first, first + 4)}
  pass_on(k, time, redis.call('ZREM', k[1], unpack(ARGV, 2)), ARGV[1])
end
return 1
