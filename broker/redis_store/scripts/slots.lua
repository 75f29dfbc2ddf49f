-- Part of every script about a backend's slots (PROTOCOL 3, reserve). KEYS: 1 slots, 2 pulse,
-- 3 paused, 4 wanted. All times in ms of Redis.
local LEASE_MS, GAP_MS, PAUSE_MS, KEPT_MS = 8000, 3000, 2500, 604800000

local function now_ms()
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end

-- When Redis was away or everybody was frozen, leases may have run out that are still in use; when
-- it came back without its last writes, reservations are missing. Both show in the pulse: too old
-- while slots are held, or older than the one the caller has `seen`. Then nothing is granted for
-- one round of re-assertion. An idle backend has an old pulse too, but it holds nothing.
local function pulse(time, seen)
  local last = tonumber(redis.call('GET', KEYS[2]) or '0')
  if last < tonumber(seen)
      or (time - last > GAP_MS and redis.call('EXISTS', KEYS[1]) == 1) then
    redis.call('SET', KEYS[3], '1', 'PX', PAUSE_MS)
  end
  redis.call('SET', KEYS[2], string.format('%.0f', time), 'PX', KEPT_MS)
end

local function take(time, id)
  redis.call('ZADD', KEYS[1], string.format('%.0f', time + LEASE_MS), id)
end
