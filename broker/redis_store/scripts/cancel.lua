-- include view
-- include close
-- PROTOCOL 5: to `cancelled` from any state that is not terminal; answers the record. ARGV as
-- close, then: 7 holder or '': only while that one holds it. The slot stays with the call until it
-- has really ended, so the outbox does not name it.
local found = redis.call('HMGET', KEYS[1], 'status', 'owner', 'held_by')
if found[1] and not TERMINAL[found[1]] and (ARGV[7] == '' or found[3] == ARGV[7]) then
  close({runner = found[2]})
end
return view()
