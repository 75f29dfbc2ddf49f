-- include record
-- When the keeper looks again (PROTOCOL 6): broker/scheduling/checks.py, with its numbers.
local RUNNING_S, UNPUBLISHED_S, HELD_S, HELD_UNSTARTED_S = 5, 15, 15, 600

local function check_at(at, id)
  redis.call('ZADD', KEYS[2], instant(at), id)
end

local function check_running(time)
  check_at(time + RUNNING_S, ARGV[1])
end

-- Of one that waits; `due` is its not_before, else its accepted_at.
local function next_check(time, published, held, due, deadline)
  local at
  if not published then
    at = time + UNPUBLISHED_S
  elseif held then
    at = time + HELD_S
  else
    at = math.max(time, tonumber(due)) + HELD_UNSTARTED_S
  end
  return math.min(at, tonumber(deadline))
end

local function check_waiting(time)
  local found = redis.call('HMGET', KEYS[1],
    'published', 'held_by', 'not_before', 'accepted_at', 'deadline')
  check_at(next_check(time, found[1], found[2], found[3] or found[4], found[5]), ARGV[1])
end
