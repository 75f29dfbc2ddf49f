-- include hooks
-- Notes a delivery that is not known. ARGV: 2 id, 3 tenant, 4 receiver, 5 created_at, 6 due_at,
-- 7 owner, 8 length of the lease in s, 9.. fields. Answers 1 if it was leased.
if redis.call('EXISTS', post_key(ARGV[2])) == 1 then
  return 0
end
redis.call('HSET', post_key(ARGV[2]), 'tenant', ARGV[3], 'receiver', ARGV[4], 'created_at', ARGV[5],
  'due_at', ARGV[6], 'state', 'pending', unpack(ARGV, 9))
redis.call('ZADD', PREFIX .. 'of:' .. ARGV[3], ARGV[5], ARGV[2])
local is_due = tonumber(ARGV[6]) <= NOW
if is_due then
  lease(ARGV[2], ARGV[4], ARGV[7], ARGV[8])
else
  wait(ARGV[2], ARGV[4], tonumber(ARGV[6]))
end
place(ARGV[4])
return is_due and 1 or 0
