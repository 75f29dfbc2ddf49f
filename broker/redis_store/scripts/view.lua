-- include record
-- The record as it is told: its fields and its result, or nothing once its retention has passed.
local function view()
  local fields = redis.call('HGETALL', KEYS[1])
  if #fields == 0 then
    return false
  end
  local expires_at = redis.call('HGET', KEYS[1], 'expires_at')
  if not expires_at then
    return {fields, false}
  end
  if now() >= tonumber(expires_at) then
    return false
  end
  return {fields, redis.call('GET', KEYS[4])}
end
