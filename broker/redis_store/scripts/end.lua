-- include close
-- PROTOCOL 6: the keeper ends what nobody will. ARGV as close, then: 7 status, 8 owner or '',
-- 9 attempt, 10 holder or '', as the keeper saw them. Answers 1 if it was still so.
local found = redis.call('HMGET', KEYS[1], 'status', 'owner', 'attempt', 'held_by')
if not found[1] then
  return 0
end
if TERMINAL[found[1]] then
  return redis.call('GET', KEYS[4]) == ARGV[6] and 1 or 0
end
if found[1] ~= ARGV[7] or (found[2] or '') ~= ARGV[8] or (found[3] or '0') ~= ARGV[9]
    or (found[4] or '') ~= ARGV[10] then
  return 0
end
-- Its owner may live and call on: the slot follows the call's real end, so it is not named here.
close({runner = found[2]})
return 1
