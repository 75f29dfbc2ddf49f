-- include file
-- What is known of a file: nothing once it has expired. ARGV: 1 id, 2 'fields' or 'parts'.
local expires_at = redis.call('HGET', file_key(ARGV[1]), 'expires_at')
if not expires_at or now() >= tonumber(expires_at) then
  return false
end
if ARGV[2] == 'parts' then
  return redis.call('LRANGE', parts_key(ARGV[1]), 0, -1)
end
return redis.call('HGETALL', file_key(ARGV[1]))
