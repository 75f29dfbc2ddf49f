-- include close
-- include birth
-- include history
-- PROTOCOL 4, the one commit point: broker/scheduling/committing.py in one atomic step.
-- ARGV as close, then: 7 attempt, 8 backend, 9 slot, 10 envelope of a dead letter or '',
-- 11 attempt made or '', 12 tokens used or '', 13.. fields at birth, sent only after `missing`.
local found = redis.call('HMGET', KEYS[1], 'status', 'attempt', 'expires_at')
local status, known, attempt = found[1], tonumber(found[2] or 0), tonumber(ARGV[7])
if not status then
  if #ARGV < 13 then
    return {'missing'}
  end
  local born = fields_at(13, #ARGV)
  if born.batch and not (is_running(born.batch) and is_due(born.batch, born.line)) then
    return {'lost', false}
  end
  birth(13, born)
elseif TERMINAL[status] then
  local stored = redis.call('GET', KEYS[4])
  if stored == ARGV[6] then
    return {'won'} -- the same bytes are the same commit: its first answer was lost
  end
  return {'lost', now() < tonumber(found[3]) and stored}
elseif known > attempt
    or (ARGV[4] == 'failed' and known ~= attempt and status ~= 'queued') then
  return {'lost', false}
end
redis.call('HSET', KEYS[1], 'attempt', ARGV[7], 'published', '1')
tell_attempt(ARGV[11])
close({in_hand = true, backend = ARGV[8], slot = ARGV[9], tokens = ARGV[12],
  dead_letter = ARGV[10] ~= '' and ARGV[10]})
return {'won'}
