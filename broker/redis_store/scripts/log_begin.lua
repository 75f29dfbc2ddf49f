-- include log
-- PROTOCOL 7: lets an attempt, and none before it, write. Answers the number of its first event, or
-- nothing if an earlier one has shown something that may not begin anew.
-- ARGV: 2 attempt, 3 '1' if it may begin anew, 4 ms to live, 5 channel prefix, 6 gap of a lost log.
local attempt, anew = tonumber(ARGV[2]), ARGV[3] == '1'
local known = redis.call('HMGET', KEYS[1], 'attempt', 'first')
local first = tonumber(known[2] or (attempt - 1) * ARGV[6])
local last = known[1] and redis.call('LINDEX', KEYS[2], -1)
local shown = last and last ~= ARGV[2] .. ':'
if known[1] and (attempt < tonumber(known[1]) or (shown and not anew)) then
  return false
end
redis.call('HSET', KEYS[1], 'attempt', ARGV[2], 'first', string.format('%.0f', first))
redis.call('PEXPIRE', KEYS[1], ARGV[4])
local length = redis.call('LLEN', KEYS[2])
if anew and (shown or (not known[1] and attempt > 1)) then
  add(ARGV[2], first + length, {''}, ARGV[5])
  length = length + 1
end
redis.call('PEXPIRE', KEYS[2], ARGV[4])
return first + length
