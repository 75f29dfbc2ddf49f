-- include checks
-- include birth
-- include vacant
-- PROTOCOL 1: the record, `queued`, with its whole envelope until a copy is confirmed.
-- KEYS as a birth, then: 14 its mark, if it has one. ARGV: 2 envelope, 3 generation, 4 how long the
-- mark is kept in ms, 5.. fields at birth. Answers 1 if the record is this call's.
local function own()
  if KEYS[14] then
    redis.call('SET', KEYS[14], ARGV[1], 'PX', ARGV[4])
  end
  return 1
end

if not vacant(ARGV[3]) then
  -- A repeated call finds exactly what it wrote.
  local found = redis.call('HMGET', KEYS[1], 'status', 'attempt')
  local same = found[1] == 'queued' and not found[2] and redis.call('GET', KEYS[3]) == ARGV[2]
  return same and own() or 0
end
birth(5)
redis.call('SET', KEYS[3], ARGV[2])
check_waiting(now())
return own()
