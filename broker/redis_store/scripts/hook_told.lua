-- include hooks
-- Notes an attempt. ARGV: 2 id, 3 owner, 4 state, 5 due_at, 6 the attempt, 7 how many attempts and
-- 8 how many settled deliveries of a tenant are kept.
local found = redis.call('HMGET', post_key(ARGV[2]),
  'state', 'tenant', 'receiver', 'leased_by', 'leased_until')
if found[1] ~= 'pending' then
  return 0
end
local number = redis.call('HINCRBY', post_key(ARGV[2]), 'made', 1)
redis.call('HINCRBY', post_key(ARGV[2]), 'tried', 1)
redis.call('HSET', post_key(ARGV[2]), 'try:' .. number, ARGV[6])
redis.call('HDEL', post_key(ARGV[2]), 'try:' .. number - tonumber(ARGV[7]))
local taken = found[4] and found[4] ~= ARGV[3] and tonumber(found[5]) > NOW
if ARGV[4] ~= 'pending' then
  settle(ARGV[2], found[2], found[3], ARGV[4], ARGV[8])
elseif not taken then
  free(ARGV[2], found[3], ARGV[5])
end
place(found[3])
return 1
