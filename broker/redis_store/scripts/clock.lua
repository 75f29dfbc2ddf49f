-- Part of the scripts that look at Redis's clock. Instants are Unix seconds, durations seconds.
local function now()
  local time = redis.call('TIME')
  return tonumber(time[1]) + tonumber(time[2]) / 1000000
end

local function instant(at)
  return string.format('%.6f', at)
end

local function milliseconds(duration)
  return string.format('%.0f', math.max(duration * 1000, 1))
end
