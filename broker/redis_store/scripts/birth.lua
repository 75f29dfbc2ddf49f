-- include record
-- include waiting
-- A record comes to be, `queued`: listed, counted and, if held, joinable. ARGV from `first` on are
-- its fields at birth.
local function birth(first)
  local born = {}
  for at = first, #ARGV, 2 do
    born[ARGV[at]] = ARGV[at + 1]
  end
  redis.call('HSET', KEYS[1], 'status', 'queued', 'counted', '1', unpack(ARGV, first))
  redis.call('ZADD', KEYS[12], born.accepted_at, ARGV[1])
  redis.call('HINCRBY', KEYS[8], born.tenant, 1)
  count_in(born.model, born.priority, born.tenant)
  if born.held_by then
    redis.call('ZADD', KEYS[9], 0, joined(born.tenant, born.body_hash, born.accepted_at))
  end
end
