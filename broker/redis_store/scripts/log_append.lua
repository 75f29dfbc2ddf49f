-- include log
-- PROTOCOL 7: adds events of the attempt that writes; what is there already is not added again.
-- ARGV: 2 attempt, 3 number of the first, 4 channel prefix, 5.. data. Answers 1 if it may write.
local known = redis.call('HMGET', KEYS[1], 'attempt', 'first')
if known[1] ~= ARGV[2] then
  return 0
end
local next = known[2] + redis.call('LLEN', KEYS[2])
local data = {}
for at = 5 + math.max(0, next - ARGV[3]), #ARGV do
  data[#data + 1] = ARGV[at]
end
if #data > 0 then
  add(ARGV[2], next, data, ARGV[4])
end
return 1
