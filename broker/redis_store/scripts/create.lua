-- include checks
-- include birth
-- include vacant
-- PROTOCOL 1: the record, `queued`, with its whole envelope until a copy is confirmed.
-- ARGV: 2 envelope, 3 generation, 4.. fields at birth. Answers 1 if the record is this call's.
if not vacant(ARGV[3]) then
  -- A repeated call finds exactly what it wrote.
  local found = redis.call('HMGET', KEYS[1], 'status', 'attempt')
  local own = found[1] == 'queued' and not found[2] and redis.call('GET', KEYS[3]) == ARGV[2]
  return own and 1 or 0
end
birth(4)
redis.call('SET', KEYS[3], ARGV[2])
check_waiting(now())
return 1
