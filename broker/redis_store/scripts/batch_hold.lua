-- include batch
-- One process runs a batch. ARGV: 2 owner, 3 length of the hold in s. Answers its token and the
-- batch's fields; nothing while another one holds it, or where it is gone.
local found = redis.call('HMGET', BATCH, 'status', 'owner', 'until', 'token')
if not found[1] then
  redis.call('ZREM', KEYS[13], ID)
  return false
end
local time, token = now(), found[4]
local held = found[2] and time < tonumber(found[3])
if held and found[2] ~= ARGV[2] then
  return false
end
if not held then
  token = redis.call('HINCRBY', BATCH, 'token', 1)
end
redis.call('HSET', BATCH, 'owner', ARGV[2], 'until', instant(time + tonumber(ARGV[3])))
return {tonumber(token), redis.call('HGETALL', BATCH)}
