-- include record
-- include waiting
-- include line
-- A record comes to be, `queued`. Its fields at birth stand in ARGV, names and values alternating.
local UNENDED_S = 604800

local function fields_at(first, last)
  local born = {}
  for at = first, last, 2 do
    born[ARGV[at]] = ARGV[at + 1]
  end
  return born
end

local function put(record, first, last)
  redis.call('HSET', record, 'status', 'queued', 'counted', '1', unpack(ARGV, first, last))
end

-- So many are open from now on, and wait.
local function count(model, priority, tenant, number)
  redis.call('HINCRBY', KEYS[8], tenant, number)
  count_in(model, priority, tenant, number)
end

-- The one that KEYS are about: `born` are its fields, the last of ARGV from `first` on, and the last
-- of them may be `asked`, the body to keep. Counted, listed if it is no line of a batch, and joinable
-- if it is held.
local function birth(first, born)
  local last = #ARGV
  if born.asked then
    last = last - 2
    -- Its end says how long it stays; that of an older version says nothing.
    local open = math.max(tonumber(born.deadline) - now(), 0)
    redis.call('SET', KEYS[12], born.asked, 'PX', milliseconds(open + UNENDED_S))
  end
  put(KEYS[1], first, last)
  if born.batch then
    note_made(born.batch, tonumber(born.line))
  else
    redis.call('ZADD', KEYS[14], born.accepted_at, ARGV[1])
  end
  count(born.model, born.priority, born.tenant, 1)
  if born.held_by then
    redis.call('ZADD', KEYS[9], 0, joined(born.tenant, born.body_hash, born.accepted_at))
  end
end
