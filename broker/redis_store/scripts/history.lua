-- Part of the scripts that follow an attempt: it joins the record's history, as the bytes that the
-- process made. Beyond the most that are told, the oldest but the first goes.
local MOST_TOLD = 20

local function tell_attempt(made)
  if made == '' then
    return
  end
  local known = redis.call('HGET', KEYS[1], 'history')
  local history = known and cmsgpack.unpack(known) or {}
  history[#history + 1] = made
  if #history > MOST_TOLD then
    table.remove(history, 2)
  end
  redis.call('HSET', KEYS[1], 'history', cmsgpack.pack(history))
end
