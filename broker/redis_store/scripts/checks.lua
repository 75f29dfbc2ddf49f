-- include record
-- When the keeper looks again (PROTOCOL 6): broker/scheduling/checks.py, with its numbers.
local RUNNING_S, UNPUBLISHED_S, HELD_S, HELD_UNSTARTED_S = 5, 15, 15, 600

local function check_at(at)
  redis.call('ZADD', KEYS[2], instant(at), ARGV[1])
end

local function check_running(time)
  check_at(time + RUNNING_S)
end

local function check_waiting(time)
  local found = redis.call('HMGET', KEYS[1],
    'published', 'held_by', 'not_before', 'accepted_at', 'deadline')
  local at
  if not found[1] then
    at = time + UNPUBLISHED_S
  elseif found[2] then
    at = time + HELD_S
  else
    at = math.max(time, tonumber(found[3] or found[4])) + HELD_UNSTARTED_S
  end
  check_at(math.min(at, tonumber(found[5])))
end
