-- include checks
-- include birth
-- include vacant
-- PROTOCOL 1: the record, `queued`, with its whole envelope until a copy is confirmed.
-- KEYS as a birth, then: 15 set of the requests of its mark, if it has one. ARGV: 2 envelope, 3 generation, 4 how long the
-- mark is kept in ms, 5.. fields at birth. Answers 1 if the record is this call's.
if not vacant(ARGV[3]) then
  -- A repeated call finds exactly what it wrote.
  local found = redis.call('HMGET', KEYS[1], 'status', 'attempt')
  local same = found[1] == 'queued' and not found[2] and redis.call('GET', KEYS[3]) == ARGV[2]
  return same and 1 or 0
end
birth(5, fields_at(5, #ARGV))
redis.call('SET', KEYS[3], ARGV[2])
check_waiting(now())
if KEYS[15] then
  redis.call('SADD', KEYS[15], ARGV[1])
  redis.call('PEXPIRE', KEYS[15], ARGV[4])
end
return 1
