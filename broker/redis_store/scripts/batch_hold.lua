-- include batch
-- One process runs a batch. ARGV: 2 owner, 3 length of the hold in ms. Answers its token and the
-- batch's fields; nothing while another one holds it, or where it is gone.
local found = redis.call('HMGET', BATCH, 'status', 'token')
if not found[1] then
  redis.call('ZREM', KEYS[13], ID)
  return false
end
local holder, token = redis.call('GET', HOLD), found[2]
if holder and holder ~= ARGV[2] then
  return false
end
if not holder then
  token = redis.call('HINCRBY', BATCH, 'token', 1)
end
redis.call('SET', HOLD, ARGV[2], 'PX', ARGV[3])
return {tonumber(token), redis.call('HGETALL', BATCH)}
