-- Drops entries of a list whose keys have gone. KEYS: 1 its zset: ids by accepted_at. ARGV: 1 what
-- stands before the id in the keys that must be there: they share the hash tag, 2 the rank to begin
-- at, 3 how many to look at, 4 the accepted_at from which on none has gone yet. Answers the rank to
-- go on from: nothing at the end.
local from, most = tonumber(ARGV[2]), tonumber(ARGV[3])
local entries = redis.call('ZRANGE', KEYS[1], from, from + most - 1, 'WITHSCORES')
local gone = {}
for at = 1, #entries, 2 do
  if tonumber(entries[at + 1]) >= tonumber(ARGV[4]) then
    most = 0
    break
  end
  if redis.call('EXISTS', ARGV[1] .. entries[at]) == 0 then
    gone[#gone + 1] = entries[at]
  end
end
if #gone > 0 then
  redis.call('ZREM', KEYS[1], unpack(gone))
end
return most > 0 and #entries == 2 * most and from + most - #gone
