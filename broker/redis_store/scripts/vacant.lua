-- include record
-- PROTOCOL 1: whether a request may be born here. A refusal, `failed (not_accepted)`, was never told
-- as a result, so one of a lower generation makes room.
local function vacant(generation)
  local found = redis.call('HMGET', KEYS[1], 'status', 'code', 'generation')
  if not found[1] then
    return true
  end
  if found[2] ~= 'not_accepted' or tonumber(found[3] or 0) >= tonumber(generation) then
    return false
  end
  redis.call('DEL', KEYS[1], KEYS[4], KEYS[12])
  return true
end
