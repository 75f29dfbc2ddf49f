-- include file
-- Forgets a file, also one that has expired. ARGV: 1 id. Answers its parts.
local tenant = redis.call('HGET', file_key(ARGV[1]), 'tenant')
if not tenant then
  return {}
end
local parts = redis.call('LRANGE', parts_key(ARGV[1]), 0, -1)
redis.call('DEL', file_key(ARGV[1]), parts_key(ARGV[1]))
redis.call('ZREM', FILES, ARGV[1])
redis.call('ZREM', files_of(tenant), ARGV[1])
return parts
