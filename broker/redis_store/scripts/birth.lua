-- include record
-- include waiting
-- A record comes to be, `queued`: listed, counted and, if held, joinable. ARGV from `first` on are
-- its fields at birth; the last may be `asked`, the body to keep.
local UNENDED_S = 604800

local function birth(first)
  local born, last = {}, #ARGV
  for at = first, #ARGV, 2 do
    born[ARGV[at]] = ARGV[at + 1]
  end
  if born.asked then
    last = last - 2
    -- Its end says how long it stays; that of an older version says nothing.
    local open = math.max(tonumber(born.deadline) - now(), 0)
    redis.call('SET', KEYS[12], born.asked, 'PX', milliseconds(open + UNENDED_S))
  end
  redis.call('HSET', KEYS[1], 'status', 'queued', 'counted', '1', unpack(ARGV, first, last))
  redis.call('ZADD', KEYS[13], born.accepted_at, ARGV[1])
  redis.call('HINCRBY', KEYS[8], born.tenant, 1)
  count_in(born.model, born.priority, born.tenant)
  if born.held_by then
    redis.call('ZADD', KEYS[9], 0, joined(born.tenant, born.body_hash, born.accepted_at))
  end
end
