-- Part of the scripts about event logs (PROTOCOL 7). KEYS: 1 log (hash), 2 its chunks (list), each
-- 'attempt:data', 3 readers (zset of processes by until when they listen, in ms).
-- ARGV[1] is the request id.
local INLINE_BYTES = 65536

local function readers()
  local time = redis.call('TIME')
  local now = time[1] * 1000 + math.floor(time[2] / 1000)
  return redis.call('ZRANGEBYSCORE', KEYS[3], now, '+inf')
end

-- Adds data of `attempt`, the first of it as `number`, and tells the processes that listen.
local function add(attempt, number, data, channels)
  local size = 0
  for _, each in ipairs(data) do
    redis.call('RPUSH', KEYS[2], attempt .. ':' .. each)
    size = size + #each
  end
  redis.call('PEXPIRE', KEYS[2], math.max(1, redis.call('PTTL', KEYS[1])))
  local listening = readers()
  if #listening == 0 then
    return
  end
  local message = {'chunks', ARGV[1]}
  if size <= INLINE_BYTES then
    message = {'chunks', ARGV[1], tonumber(attempt), number, data}
  end
  local packed = cmsgpack.pack(message)
  for _, owner in ipairs(listening) do
    redis.call('PUBLISH', channels .. owner, packed)
  end
end
