-- Part of every script about members (PROTOCOL, Time). KEYS: 1 live, 2 serves, 3 pulse, 4 grace.
local BEAT_S, GAP_S, GRACE_MS, FORGET_S = 8, 4, 4000, 600

local function now()
  local time = redis.call('TIME')
  return tonumber(time[1]) + tonumber(time[2]) / 1000000
end

-- When nobody could beat (Redis was away), silence proves nothing: for one round of beats nobody
-- is called dead.
local function pulse(time)
  local last = tonumber(redis.call('GET', KEYS[3]) or 'none')
  if last and time - last > GAP_S then
    redis.call('SET', KEYS[4], '1', 'PX', GRACE_MS)
  end
  redis.call('SET', KEYS[3], string.format('%.3f', time))
end
