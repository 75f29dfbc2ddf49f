-- include hooks
-- Drops some of what was settled before an instant. ARGV: 2 tenant, 3 instant, 4 how many. Answers
-- how many there were.
local before = '(' .. ARGV[3]
local ids = redis.call('ZRANGEBYSCORE', settled_key(ARGV[2]), '-inf', before, 'LIMIT', 0, ARGV[4])
for _, id in ipairs(ids) do
  drop(id, ARGV[2])
end
if redis.call('EXISTS', settled_key(ARGV[2])) == 0 then
  redis.call('SREM', TENANTS, ARGV[2])
end
return #ids
