-- include view
-- include close
-- PROTOCOL 5: to `cancelled` from any state that is not terminal; answers the record. ARGV as
-- close. The slot stays with the call until it has really ended, so the outbox does not name it.
local status = redis.call('HGET', KEYS[1], 'status')
if status and not TERMINAL[status] then
  close({runner = redis.call('HGET', KEYS[1], 'owner')})
end
return view()
