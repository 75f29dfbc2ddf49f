-- PROTOCOL 7: moves the settler's cursor, never back, and trims behind it.
-- KEYS: 1 outbox, 2 cursor. ARGV: 1 cursor, 2 the id after it.
local function parts(id)
  local ms, sequence = string.match(id, '^(%d+)-(%d+)$')
  return tonumber(ms), tonumber(sequence)
end
local old = redis.call('GET', KEYS[2])
if old then
  local old_ms, old_sequence = parts(old)
  local ms, sequence = parts(ARGV[1])
  if ms < old_ms or (ms == old_ms and sequence <= old_sequence) then
    return 0
  end
end
redis.call('SET', KEYS[2], ARGV[1])
redis.call('XTRIM', KEYS[1], 'MINID', ARGV[2])
return 1
