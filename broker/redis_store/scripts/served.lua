-- include living
-- What the living processes say of themselves.
local since = string.format('%.3f', now() - BEAT_S)
local owners = redis.call('ZRANGEBYSCORE', KEYS[1], '(' .. since, '+inf')
if #owners == 0 then
  return {}
end
return redis.call('HMGET', KEYS[2], unpack(owners))
