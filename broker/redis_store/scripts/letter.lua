-- include record
-- A dead letter's record, also past its retention; nothing where there is no envelope.
if redis.call('EXISTS', KEYS[1], KEYS[7]) < 2 then
  return false
end
return {redis.call('HGETALL', KEYS[1]), redis.call('GET', KEYS[4])}
