-- PROTOCOL 7: moves a reader's cursor, never back, and trims behind the last of all readers.
-- KEYS: 1 outbox, 2 its cursor, 3.. those of the others. ARGV: 1 cursor.
local function parts(id)
  local ms, sequence = string.match(id, '^(%d+)-(%d+)$')
  return tonumber(ms), tonumber(sequence)
end

local function before(one, other)
  local ms, sequence = parts(one)
  local other_ms, other_sequence = parts(other)
  return ms < other_ms or (ms == other_ms and sequence < other_sequence)
end

local old = redis.call('GET', KEYS[2])
if old and not before(old, ARGV[1]) then
  return 0
end
redis.call('SET', KEYS[2], ARGV[1])
local last = ARGV[1]
for at = 3, #KEYS do
  local other = redis.call('GET', KEYS[at])
  if not other then
    return 1 -- that one has done nothing yet
  end
  if before(other, last) then
    last = other
  end
end
local ms, sequence = parts(last)
redis.call('XTRIM', KEYS[1], 'MINID', string.format('%.0f-%.0f', ms, sequence + 1))
return 1
